#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#include <memory>
#include <string>

int main() {
  auto memory = std::make_shared<apache::thrift::transport::TMemoryBuffer>();
  apache::thrift::protocol::TBinaryProtocol protocol(memory);
  protocol.writeString(std::string("queue"));
  std::string read;
  protocol.readString(read);
  return read == "queue" ? 0 : 1;
}
