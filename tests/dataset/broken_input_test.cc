// Inputs that nobody should write, and somebody will: each is an error that names file, place and
// fix, or is read as it is meant; nothing is half-written.
#include <unistd.h>

#include "gmock/gmock.h"
#include "seer/dataset/importer.h"
#include "seer/dataset/reader.h"
#include "tests/dataset/random_ticks.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;
using testing::WriteFile;

class BrokenInput : public ::testing::Test {
 protected:
  absl::Status Try(ImportFormat format, const std::string& text) {
    WriteFile(dir_ / "input", text);
    std::remove((dir_ / "out").c_str());
    const absl::Status status = ImportToFile(format, {dir_ / "input"}, dir_ / "out", {}).status();
    EXPECT_EQ(access((dir_ / "out").c_str(), F_OK) == 0, status.ok());
    EXPECT_NE(access((dir_ / "out.partial").c_str(), F_OK), 0);
    return status;
  }
  // Names the file, says the words, and how to mend it.
  void Expect(ImportFormat format, const std::string& text, const std::string& words) {
    SCOPED_TRACE(text.substr(0, 300));
    const absl::Status status = Try(format, text);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(status.ToString(), HasSubstr(dir_ / "input"));
    EXPECT_THAT(status.ToString(), HasSubstr(words));
  }

  TempDir dir_;
};

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

constexpr char kZipkin[] =
    R"([{"traceId":"07","id":"a1","kind":"SERVER","name":"get","timestamp":100000,
"duration":100000,"localEndpoint":{"serviceName":"front","ipv4":"1.2.3.4"}}])";

TEST_F(BrokenInput, ZipkinNamesByteAndFix) {
  EXPECT_TRUE(Try(ImportFormat::kZipkinJson, kZipkin).ok());
  for (const auto& [from, to, words] : std::vector<std::array<std::string, 3>>{
           {"\"id\":\"a1\"", "\"id\":\"a1b2c3d4e5f6a7b8c9\"", "16 hexadecimal digits"},
           {"\"id\":\"a1\"", "\"id\":17", "correct the object"},
           {"\"07\"", "\"0x7\"", "32 hexadecimal digits"},
           {"100000,\n", "-100000,\n", "byte 1: in the object that begins here: a time is out of"},
           {"100000,\n", "NaN,\n", "a time is no whole number"},
           {"100000,\n", "1e400,\n", "a time is no whole number"},
           {"100000,\n", "9223372036854775807,\n", "a time is out of range"},
           {"\"duration\":100000", "\"duration\":-1", "negative"},
           {"\"duration\":100000", "\"duration\":null", "a time is no whole number"},
           {"{\"serviceName\"", "{\"name\"", "localEndpoint.serviceName"},
           {"{\"serviceName\"", "{\"serviceName\",", "correct the object"},
           {"\"SERVER\"", "\"SER\xff\"", "correct the object"},
           {"\"SERVER\"", "\"SER\nVER\"", "correct the object"},
           {"}}]", "}]", "byte"},
           {"}}]", "}}", "cut off"},
           {"\"get\"", "\"get", "byte"}}) {
    Expect(ImportFormat::kZipkinJson, Replaced(kZipkin, from, to), words);
  }
}

constexpr char kOtlp[] =
    R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":
{"stringValue":"front"}}]},"scopeSpans":[{"spans":[{"traceId":"07","spanId":"a1","name":"GET",
"kind":2,"startTimeUnixNano":"1000000000000000000","endTimeUnixNano":"1000000000200000000"}]}]}]})";

TEST_F(BrokenInput, NamesThatAreTooLongAreNoServices) {
  Expect(ImportFormat::kZipkinJson, Replaced(kZipkin, "front", std::string(100'000, 'x')),
         "not behind byte 1: ");
  EXPECT_TRUE(
      Try(ImportFormat::kZipkinJson, Replaced(kZipkin, "front", std::string(255, 'x'))).ok());
  // An operation of any length only has no name.
  EXPECT_TRUE(Try(ImportFormat::kZipkinJson,
                  Replaced(kZipkin, "\"get\"", '"' + std::string(999, 'x') + '"'))
                  .ok());
}

TEST_F(BrokenInput, OtlpNamesByteAndFix) {
  EXPECT_TRUE(Try(ImportFormat::kOtlpJson, kOtlp).ok());
  for (const auto& [from, to, words] : std::vector<std::array<std::string, 3>>{
           {"1000000000200000000", "999999999999999999",
            "byte 18: in the object that begins here: "
            "a span ends before it starts"},
           {"1000000000200000000", "soon", "a time is no whole number"},
           {"1000000000000000000", "", "a time is no whole number"},
           {"1000000000200000000", "9223372036854775807", "a time is out of range"},
           {"1000000000200000000", "18446744073709551616", "a time is no whole number"},
           {"\"startTimeUnixNano\"", "\"start\"", "a time is out of range, or missing"},
           {"\"stringValue\"", "\"intValue\"", "service.name"},
           {"\"a1\"", "\"g1\"", "16 hexadecimal digits"},
           {"\"spans\":[", "\"spans\":{", "byte"}}) {
    Expect(ImportFormat::kOtlpJson, Replaced(kOtlp, from, to), words);
  }
}

TEST_F(BrokenInput, RowsWhoseTimesLeave64BitsAreNamed) {
  const std::string header =
      "trace,caller,callee,op,c_start_us,c_dur_us,s_start_us,s_dur_us,status\n";
  const std::string most = "9000000000000000";
  Expect(ImportFormat::kRpcCsv, header + "1,,front,GET," + most + "," + most + ",,,200\n",
         "input:2: column c_dur_us: \"" + most + "\" ends after the times of 64 bits");
  Expect(ImportFormat::kRpcCsv, header + "1,,front,GET,,," + most + ",1,200\n", "column s_dur_us");
  Expect(ImportFormat::kRpcCsv, header + "1,,front,GET,9000000000000001,1,,,200\n",
         "column c_start_us");
  Expect(ImportFormat::kRpcCsv, header + "1,,front,GET,1,00000000000000001,,,200\n",
         "column c_dur_us");
  Expect(ImportFormat::kRpcCsv, header + "1,,front,GET,1,1,,,200\n2,,front,GET,1,1,,,200,x\n",
         "input:3: has not 9 columns");
  Expect(ImportFormat::kRpcCsv, "trace,callee,caller,op\n", "rename or reorder the columns");
}

std::string Jaeger(const std::string& processes, const std::string& spans) {
  return "{\"data\":[{\"traceID\":\"07\",\"spans\":[" + spans + "],\"processes\":{" + processes +
         "}}]}";
}
std::string JaegerSpan(const std::string& process) {
  return R"({"traceID":"07","spanID":"a1","operationName":"GET","startTime":100000,"duration":90,
"tags":[{"key":"span.kind","value":"server"}],"processID":")" +
         process + "\"}";
}

TEST_F(BrokenInput, JaegerOfManyProcessesAndOfOddNames) {
  std::string processes;
  for (int i = 0; i < 1000; ++i) {
    processes += (i == 0 ? "\"" : ",\"") + std::string("process-") + std::to_string(i) +
                 "\":{\"serviceName\":\"s" + std::to_string(i) + "\"}";
  }
  for (const char* const name : {"process-0", "process-7", "process-512", "process-999"}) {
    ASSERT_TRUE(Try(ImportFormat::kJaegerJson, Jaeger(processes, JaegerSpan(name))).ok());
    const auto topology = DatasetReader::Open(dir_ / "out")->LatestTopology(0);
    EXPECT_TRUE(topology->FindService("s" + std::string(name).substr(8))) << name;
  }
  for (const char* const name : {"process-", "process-1000", "", "p", "process-00"}) {
    Expect(ImportFormat::kJaegerJson, Jaeger(processes, JaegerSpan(name)), "processID");
  }
  // Of two with one name the last holds, however many there are.
  const std::string twice = R"("p1":{"serviceName":"old"},"p1":{"serviceName":"new"})";
  for (const std::string& all : {twice, processes + "," + twice}) {
    ASSERT_TRUE(Try(ImportFormat::kJaegerJson, Jaeger(all, JaegerSpan("p1"))).ok());
    const auto topology = DatasetReader::Open(dir_ / "out")->LatestTopology(0);
    EXPECT_TRUE(topology->FindService("new"));
    EXPECT_FALSE(topology->FindService("old"));
  }
  const std::string escaped = R"("p1":{"serviceName":"caf\u00e9 \"x\"","tags":[{"value":"h",
    "key":"hostname"},{"key":"n","value":{"deep":["]",{"}":1}]}}]})";
  ASSERT_TRUE(Try(ImportFormat::kJaegerJson, Jaeger(escaped, JaegerSpan("p1"))).ok());
  EXPECT_TRUE(
      DatasetReader::Open(dir_ / "out")->LatestTopology(0)->FindService("caf\xc3\xa9 \"x\""));
}

// Every prefix of an input is an error or an input, and never a half of a dataset.
TEST_F(BrokenInput, EveryPrefixEndsWell) {
  const std::string jaeger = Jaeger(R"("p1":{"serviceName":"front"})", JaegerSpan("p1"));
  const std::string csv =
      "trace,caller,callee,op,c_start_us,c_dur_us,s_start_us,s_dur_us,status\n"
      "7,,front,GET,100000,100000,,,200\n7,front,cart,get,120000,50000,121000,48000,ok\n";
  const std::vector<std::pair<ImportFormat, std::string>> inputs = {
      {ImportFormat::kZipkinJson, kZipkin},
      {ImportFormat::kOtlpJson, kOtlp},
      {ImportFormat::kJaegerJson, jaeger},
      {ImportFormat::kRpcCsv, csv}};
  for (const auto& [format, text] : inputs) {
    for (std::size_t size = 0; size < text.size(); size += 3) {
      const absl::Status status = Try(format, text.substr(0, size));
      if (status.ok()) {
        EXPECT_EQ(format, ImportFormat::kRpcCsv) << size;  // a row may end anywhere
        continue;
      }
      EXPECT_THAT(status.ToString(), HasSubstr(dir_ / "input"));
    }
    EXPECT_TRUE(Try(format, text).ok());
  }
}

}  // namespace
}  // namespace seer
