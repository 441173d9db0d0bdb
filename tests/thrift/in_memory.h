// A client and a processor with nothing but memory between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <thrift/TProcessor.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>

namespace seer::testing_support {

class InMemory {
 public:
  template <typename Protocol>
  struct Of {};

  InMemory() : InMemory(Of<apache::thrift::protocol::TBinaryProtocol>{}) {}
  template <typename Protocol>
  explicit InMemory(Of<Protocol>)
      : client_(std::make_shared<Both<Protocol>>(request_, reply_)),
        server_in_(std::make_shared<Protocol>(request_)),
        server_out_(std::make_shared<Protocol>(reply_)) {}

  // Writes requests, reads replies.
  std::shared_ptr<apache::thrift::protocol::TProtocol> client() { return client_; }
  std::shared_ptr<apache::thrift::protocol::TProtocol> server_in() { return server_in_; }
  std::shared_ptr<apache::thrift::protocol::TProtocol> server_out() { return server_out_; }

  bool Process(apache::thrift::TProcessor& processor, void* connection = nullptr) {
    return processor.process(server_in_, server_out_, connection);
  }
  std::string ReplyBytes() { return reply_->getBufferAsString(); }
  // Takes the last bytes off the request.
  void TruncateRequest(std::size_t bytes) {
    std::string text = request_->getBufferAsString();
    text.resize(text.size() - bytes);
    request_->resetBuffer();
    request_->write(reinterpret_cast<const std::uint8_t*>(text.data()),
                    static_cast<std::uint32_t>(text.size()));
  }

 private:
  using TMemoryBuffer = apache::thrift::transport::TMemoryBuffer;

  // Reads from one buffer, writes into the other.
  class Pair final : public apache::thrift::transport::TVirtualTransport<Pair> {
   public:
    Pair(std::shared_ptr<TMemoryBuffer> out, std::shared_ptr<TMemoryBuffer> in)
        : out_(std::move(out)), in_(std::move(in)) {}
    bool isOpen() const override { return true; }
    void open() override {}
    void close() override {}
    std::uint32_t read(std::uint8_t* bytes, std::uint32_t size) { return in_->read(bytes, size); }
    void write(const std::uint8_t* bytes, std::uint32_t size) { out_->write(bytes, size); }

   private:
    const std::shared_ptr<TMemoryBuffer> out_;
    const std::shared_ptr<TMemoryBuffer> in_;
  };
  template <typename Protocol>
  class Both final : public Protocol {
   public:
    Both(const std::shared_ptr<TMemoryBuffer>& out, const std::shared_ptr<TMemoryBuffer>& in)
        : Protocol(std::make_shared<Pair>(out, in)) {}
  };

  const std::shared_ptr<TMemoryBuffer> request_ = std::make_shared<TMemoryBuffer>();
  const std::shared_ptr<TMemoryBuffer> reply_ = std::make_shared<TMemoryBuffer>();
  const std::shared_ptr<apache::thrift::protocol::TProtocol> client_;
  const std::shared_ptr<apache::thrift::protocol::TProtocol> server_in_;
  const std::shared_ptr<apache::thrift::protocol::TProtocol> server_out_;
};

}  // namespace seer::testing_support
