// A client's transport for tests: what lies on both sides of the connection is at hand, and it
// fails when it is told to.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <thrift/TProcessor.h>
#include <thrift/protocol/TProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TTransportException.h>
#include <thrift/transport/TVirtualTransport.h>

namespace seer::testing_support {

class Wire final : public apache::thrift::transport::TVirtualTransport<Wire> {
 public:
  using TMemoryBuffer = apache::thrift::transport::TMemoryBuffer;
  using TTransportException = apache::thrift::transport::TTransportException;

  // What the client has sent, and what it will read.
  const std::shared_ptr<TMemoryBuffer> sent = std::make_shared<TMemoryBuffer>();
  const std::shared_ptr<TMemoryBuffer> replies = std::make_shared<TMemoryBuffer>();
  // Called in flush(): a server that answers at once, or an error.
  std::function<void()> on_flush;
  std::function<void()> on_write;
  // What reading from an empty connection throws.
  TTransportException::TTransportExceptionType when_empty = TTransportException::END_OF_FILE;

  bool isOpen() const override { return true; }
  void open() override {}
  void close() override {}
  void flush() override {
    if (on_flush) on_flush();
  }
  std::uint32_t read(std::uint8_t* bytes, std::uint32_t size) {
    if (replies->available_read() == 0) throw TTransportException(when_empty, "nothing to read");
    return replies->read(bytes, size);
  }
  std::uint32_t readAll(std::uint8_t* bytes, std::uint32_t size) {
    return apache::thrift::transport::readAll(*this, bytes, size);
  }
  void write(const std::uint8_t* bytes, std::uint32_t size) {
    if (on_write) on_write();
    sent->write(bytes, size);
  }

  std::string TakeSent() {
    const std::string bytes = sent->getBufferAsString();
    sent->resetBuffer();
    return bytes;
  }
};

}  // namespace seer::testing_support
