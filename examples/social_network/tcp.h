// A connection to a store that answers in lines and counted bytes.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace social {

// A store did not answer, or not as it should. What is under way on the connection is unknown.
struct StoreError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class TcpStream {
 public:
  // Of the loopback interface. Throws StoreError, as all of this; nothing waits for over 10 s.
  TcpStream(const std::string& name, int port);
  ~TcpStream();
  TcpStream(const TcpStream&) = delete;
  TcpStream& operator=(const TcpStream&) = delete;

  void Write(std::string_view bytes);
  // Without its "\r\n"; at most 64 KiB.
  std::string ReadLine();
  // At most 16 MiB.
  std::string ReadBytes(std::size_t count);

  [[noreturn]] void Fail(const std::string& what) const;

 private:
  void Fill();

  const std::string name_;
  int socket_ = -1;
  std::string buffer_;
  std::size_t read_ = 0;  // of buffer_
};

}  // namespace social
