// Recordings as other tools would have written them, for the benchmarks.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>

namespace seer::bench {

// A file in memory where there is such a place; goes away with the program.
class Scratch {
 public:
  Scratch(const char* name, const std::string& text) : path_(Folder() + name) {
    std::ofstream(path_, std::ios::binary) << text;
  }
  ~Scratch() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

  static std::string Folder() {
    std::string folder = std::ifstream("/dev/shm/.") ? "/dev/shm/" : "/tmp/";
    return folder + "seer-bench-" + std::to_string(std::rand()) + "-";
  }

 private:
  std::string path_;
};

inline constexpr int kBenchServices = 36;

// Traces of the query API: each of one request with a client and a server span for each of 8 calls,
// with the tags and logs that Jaeger's own clients write. 17 spans, about 14 kB each.
inline std::string JaegerTraces(int traces) {
  std::mt19937_64 random(1);
  std::string text = "{\"data\":[";
  char line[1024];
  for (int t = 0; t < traces; ++t) {
    const auto trace = static_cast<unsigned long long>(random());
    text += t == 0 ? "" : ",";
    std::snprintf(line, sizeof(line), "{\"traceID\":\"%016llx\",\"spans\":[", trace);
    text += line;
    const long long start = 1'700'000'000'000'000 + t * 500LL;
    unsigned long long parent = 0;
    for (int s = 0; s < 17; ++s) {
      const bool server = s % 2 == 0;
      const unsigned long long id = random() | 1;
      std::snprintf(line, sizeof(line),
                    "%s{\"traceID\":\"%016llx\",\"spanID\":\"%016llx\",\"flags\":1,"
                    "\"operationName\":\"op-%d\","
                    "\"references\":[%s",
                    s == 0 ? "" : ",", trace, id, s / 2,
                    s == 0 ? "" : "{\"refType\":\"CHILD_OF\",\"traceID\":\"");
      text += line;
      if (s > 0) {
        std::snprintf(line, sizeof(line), "%016llx\",\"spanID\":\"%016llx\"}", trace, parent);
        text += line;
      }
      std::snprintf(
          line, sizeof(line),
          "],\"startTime\":%lld,\"duration\":%d,\"tags\":[{\"key\":\"sampler.type\",\"type\":"
          "\"string\",\"value\":\"const\"},{\"key\":\"sampler.param\",\"type\":\"bool\",\"value\":"
          "true},{\"key\":\"span.kind\",\"type\":\"string\",\"value\":\"%s\"},{\"key\":\"http."
          "url\","
          "\"type\":\"string\",\"value\":\"http://service-%d:8080/api/v1/op?id=%llu\"},{\"key\":"
          "\"http.status_code\",\"type\":\"int64\",\"value\":200},{\"key\":\"internal.span."
          "format\","
          "\"type\":\"string\",\"value\":\"proto\"}],\"logs\":[],\"processID\":\"p%d\","
          "\"warnings\":"
          "null}",
          start + s * 20, 5000 - s * 200, server ? "server" : "client", s / 2, id % 1000000,
          (s + 1) / 2 + 1 - (server ? 0 : 1));
      text += line;
      parent = id;
    }
    text += "],\"processes\":{";
    for (int p = 1; p <= 9; ++p) {
      std::snprintf(
          line, sizeof(line),
          "%s\"p%d\":{\"serviceName\":\"service-%d\",\"tags\":[{\"key\":\"hostname\","
          "\"type\":\"string\",\"value\":\"host-%d\"},{\"key\":\"ip\",\"type\":\"string\","
          "\"value\":\"10.0.0.%d\"}]}",
          p == 1 ? "" : ",", p, p, p % 4, p);
      text += line;
    }
    text += "},\"warnings\":null}";
  }
  return text + "],\"total\":0,\"limit\":0,\"offset\":0,\"errors\":null}";
}

// As the RPC logs in BuzzBlog's recordings: a request and its calls, callers' times.
inline std::string RpcRows(int requests) {
  std::mt19937_64 random(2);
  std::string text = "trace,caller,callee,op,c_start_us,c_dur_us,s_start_us,s_dur_us,status\n";
  for (int r = 0; r < requests; ++r) {
    const long long start = r * 1000LL + static_cast<long long>(random() % 500);
    const std::string trace = std::to_string(r);
    text += trace + ",,gateway,POST_like," + std::to_string(start) + "," +
            std::to_string(9000 + random() % 9000) + ",,,200\n";
    for (int c = 0; c < 3; ++c) {
      const char* const callee[] = {"account", "like", "post"};
      text += trace + ",gateway," + callee[c] + ",retrieve," +
              std::to_string(start + 500 + 2500 * c) + "," +
              std::to_string(1000 + random() % 1000) + ",,,\n";
    }
  }
  return text;
}

}  // namespace seer::bench
