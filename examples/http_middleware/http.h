// As much of HTTP/1.1 as the example needs: one request a connection, heads of at most 16 KiB,
// bodies of at most 64 KiB. Headers have lower-case names.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace example {

struct HttpRequest {
  std::string method = "GET";
  std::string path = "/";
  std::map<std::string, std::string> headers;
  std::string body;
};

struct HttpReply {
  int status = 200;
  std::string body;
};

// Reads from and writes to a connected socket. False: the other side does not speak HTTP, or went.
bool ReadRequest(int socket, HttpRequest* request);
bool WriteReply(int socket, const HttpReply& reply);

// To 127.0.0.1; status 0: nobody answered.
HttpReply Call(int port, const HttpRequest& request);

// A listening socket on 127.0.0.1, with the port that the system gave it.
struct Listener {
  int socket = -1;
  int port = 0;
};
Listener Listen();

}  // namespace example
