#include "front.h"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "interrupted.h"
#include "store_processes.h"
#include "tcp.h"

namespace social {
namespace {

std::string Configuration(const Deployment& deployment, const std::string& folder, int port) {
  return "worker_processes 1;\ndaemon off;\nmaster_process off;\npid " + folder +
         "/pid;\nerror_log stderr warn;\n" +
         "events { worker_connections 1024; }\n"
         "http {\n"
         "  access_log off;\n"
         "  client_body_temp_path " +
         folder + "/body;\n  proxy_temp_path " + folder + "/proxy;\n  fastcgi_temp_path " + folder +
         "/fastcgi;\n  uwsgi_temp_path " + folder + "/uwsgi;\n  scgi_temp_path " + folder +
         "/scgi;\n"
         "  upstream web {\n"
         "    server 127.0.0.1:" +
         std::to_string(deployment.Find(kEntry)) +
         ";\n"
         "    keepalive 256;\n"
         "    keepalive_requests 1000000;\n"
         "  }\n"
         "  server {\n"
         "    listen 127.0.0.1:" +
         std::to_string(port) +
         ";\n"
         "    keepalive_requests 1000000;\n"
         "    keepalive_timeout 600s;\n"
         "    location = /status { stub_status; }\n"
         "    location / {\n"
         "      proxy_pass http://web;\n"
         "      proxy_http_version 1.1;\n"
         "      proxy_set_header Connection \"\";\n"
         "      proxy_next_upstream off;\n"
         "    }\n"
         "  }\n"
         "}\n";
}

bool Listens(int port) {
  try {
    TcpStream stream(kFront, port);
    stream.Write("GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    return stream.ReadLine().find(" 200 ") != std::string::npos;
  } catch (const StoreError&) {
    return false;
  }
}

}  // namespace

bool StartFront(const Deployment& deployment, Processes* processes, std::string* why) {
  Command command;
  for (const char* place : {"/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"}) {
    if (command.words.empty() && access(place, X_OK) == 0) command.words.push_back(place);
  }
  if (command.words.empty()) {
    *why = "nginx is not installed: apt install nginx-light";
    return false;
  }
  const std::string folder = deployment.directory() + "/nginx-files";
  std::filesystem::create_directory(folder);
  GiveTo("nobody", folder);
  command.name = kFront;
  command.user = "nobody";
  command.log = deployment.LogOf(kFront);
  command.words.insert(command.words.end(), {"-p", folder, "-e", "stderr", "-c", folder + "/conf"});
  for (int attempt = 0; attempt < 3; ++attempt) {
    const int port = FreePort();
    std::ofstream(folder + "/conf") << Configuration(deployment, folder, port);
    const pid_t pid = processes->Start(command);
    for (int i = 0; i < 500; ++i) {
      if (Listens(port)) {
        deployment.AnnouncePid(kFront, pid);
        deployment.Announce(kFront, port);
        return true;
      }
      if (Interrupted()) return false;
      if (const auto ended = processes->Ended()) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  throw std::runtime_error("nginx does not start:\n" + TailOf(command.log));
}

}  // namespace social
