#include "seer/dataset/importer.h"

#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "gmock/gmock.h"
#include "seer/dataset/reader.h"
#include "tests/dataset/random_ticks.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;
using testing::WriteFile;

constexpr char kHeader[] =
    "trace,caller,callee,op,c_start_us,c_dur_us,s_start_us,s_dur_us,status\n";

struct Imported {
  ImportReport report;
  Topology topology;
  std::vector<ClusterTick> ticks;
  std::vector<DatasetEvent> events;
};

class ImporterTest : public ::testing::Test {
 protected:
  std::string Put(const std::string& name, const std::string& text) {
    WriteFile(dir_ / name, text);
    return dir_ / name;
  }

  absl::StatusOr<Imported> Run(ImportFormat format, const std::vector<std::string>& inputs) {
    const std::string out = dir_ / "out";
    std::remove(out.c_str());
    const auto report = ImportToFile(format, inputs, out, options_);
    EXPECT_NE(access((out + ".partial").c_str(), F_OK), 0);
    if (!report.ok()) {
      EXPECT_NE(access(out.c_str(), F_OK), 0) << "half-written";
      return report.status();
    }
    const auto reader = DatasetReader::Open(out);
    Imported imported{*report, *reader->LatestTopology(0), {}, *reader->Events(0)};
    ClusterTick tick;
    TickCursor cursor = reader->Ticks(0);
    while (*cursor.Next(&tick)) imported.ticks.push_back(tick);
    EXPECT_EQ(imported.ticks.size(), report->ticks);
    return imported;
  }

  std::string Error(ImportFormat format, const std::string& text) {
    return Run(format, {Put("input", text)}).status().ToString();
  }

  double EdgeMean(const Imported& run, std::size_t tick, const char* caller, const char* callee) {
    ServiceId from;
    if (*caller != '\0') from = *run.topology.FindService(caller);
    const auto edge = run.topology.FindEdge(from, *run.topology.FindService(callee));
    if (!edge || tick >= run.ticks.size()) return -1;
    return run.ticks[tick].edges.mean(*edge).value_or(-1);
  }

  TempDir dir_;
  ImportOptions options_;
};

std::string Gzip(const std::string& text) {
  z_stream zlib = {};
  EXPECT_EQ(deflateInit2(&zlib, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(text.size() + 1000, '\0');
  zlib.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(text.data()));
  zlib.avail_in = static_cast<unsigned>(text.size());
  zlib.next_out = reinterpret_cast<unsigned char*>(packed.data());
  zlib.avail_out = static_cast<unsigned>(packed.size());
  EXPECT_EQ(deflate(&zlib, Z_FINISH), Z_STREAM_END);
  packed.resize(zlib.total_out);
  deflateEnd(&zlib);
  return packed;
}

// front calls cart for 50 of its 100 ms.
const std::string kCalls = std::string(kHeader) + "7,,front,GET,100000,100000,,,200\n" +
                           "7,front,cart,get,120000,50000,121000,48000,ok\n";

void ExpectCalls(const Imported& run) {
  ASSERT_EQ(run.ticks.size(), 2u);  // the request ends as the second tick begins
  EXPECT_EQ(run.ticks[0].tick, 1);
  EXPECT_EQ(run.topology.live_services(), 2u);
  const auto edge =
      run.topology.FindEdge(*run.topology.FindService("front"), *run.topology.FindService("cart"));
  ASSERT_TRUE(edge);
  EXPECT_FLOAT_EQ(static_cast<float>(run.ticks[0].edges.mean(*edge).value_or(-1)), 0.5f);
  EXPECT_EQ(run.ticks[1].edges.mean(*edge).value_or(-1), 0);
  ASSERT_EQ(run.ticks[1].classes.size(), 1u);
  EXPECT_EQ(run.ticks[1].classes[0].count, 1u);
}

TEST_F(ImporterTest, NamesOfFormatsGoBothWays) {
  for (int i = 0; i < 5; ++i) {
    const auto format = static_cast<ImportFormat>(i);
    EXPECT_EQ(ImportFormatFromName(ImportFormatName(format)), format);
  }
  EXPECT_FALSE(ImportFormatFromName("xml"));
}

TEST_F(ImporterTest, RpcCsvBecomesDepths) {
  const auto run = Run(ImportFormat::kRpcCsv, {Put("a.csv", kCalls)});
  ASSERT_TRUE(run.ok()) << run.status();
  ExpectCalls(*run);
  EXPECT_EQ(run->report.rows, 2u);
  EXPECT_EQ(run->report.intervals, 3u);
  EXPECT_FLOAT_EQ(static_cast<float>(EdgeMean(*run, 0, "", "front")), 1.0f);
  const ServiceId cart = *run->topology.FindService("cart");
  EXPECT_FLOAT_EQ(static_cast<float>(*run->ticks[0].services.mean(cart, Channel::kRunning)), 0.48f);
}

TEST_F(ImporterTest, GzipIsUnpackedAlsoInPieces) {
  const std::size_t half = kCalls.size() / 2;
  const auto run = Run(ImportFormat::kRpcCsv,
                       {Put("a.csv", Gzip(kCalls.substr(0, half)) + Gzip(kCalls.substr(half)))});
  ASSERT_TRUE(run.ok()) << run.status();
  ExpectCalls(*run);
  const std::string packed = Gzip(kCalls);
  EXPECT_THAT(Error(ImportFormat::kRpcCsv, packed.substr(0, packed.size() - 12)),
              HasSubstr("cut off"));
  std::string damaged = packed;
  damaged[30] ^= 0x55;
  EXPECT_THAT(Error(ImportFormat::kRpcCsv, damaged), HasSubstr("damaged"));
}

TEST_F(ImporterTest, RowsThatCannotBeNameLineAndColumn) {
  const auto error = [&](const std::string& row) {
    return Error(ImportFormat::kRpcCsv, kHeader + row);
  };
  EXPECT_THAT(Error(ImportFormat::kRpcCsv, "a,b\n1,2\n"), HasSubstr("input:1: the header"));
  EXPECT_THAT(Error(ImportFormat::kRpcCsv, ""), HasSubstr("the header"));
  EXPECT_THAT(error("1,,front,GET,5,-1,,,200\n"), HasSubstr("input:2: column c_dur_us: \"-1\""));
  EXPECT_THAT(error("1,,front,GET,nan,1,,,200\n"), HasSubstr("column c_start_us: \"nan\""));
  EXPECT_THAT(error("1,,front,GET,,,7,,200\n"), HasSubstr("column s_dur_us"));
  EXPECT_THAT(error("1,,front,GET,,,,,200\n"), HasSubstr("neither"));
  EXPECT_THAT(error("1,,,GET,1,1,,,200\n"), HasSubstr("column callee"));
  EXPECT_THAT(error("1,,front,GET,1,1,,200\n"), HasSubstr("has not 9 columns"));
  EXPECT_THAT(error("1,,front,GET,99999999999999999999,1,,,200\n"), HasSubstr("c_start_us"));
  EXPECT_THAT(error("1,,\"front,GET,1,1,,,200\n"), HasSubstr("quote"));
  EXPECT_THAT(error(std::string(3 << 20, 'x')), HasSubstr("longer than 1 MiB"));
  EXPECT_THAT(error(""), HasSubstr("no span"));
  EXPECT_EQ(Run(ImportFormat::kRpcCsv, {dir_ / "none"}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_FALSE(Run(ImportFormat::kRpcCsv, {}).ok());
}

TEST_F(ImporterTest, QuotedNamesAreUnderstood) {
  const auto run =
      Run(ImportFormat::kRpcCsv,
          {Put("a", std::string(kHeader) + "1,,\"a,\"\"b\",GET,1,1,,,\n" + "2,,c,GET,5,1,,,\r\n")});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_TRUE(run->topology.FindService("a,\"b"));
  EXPECT_TRUE(run->topology.FindService("c"));
}

// What comes in any order gives the same as what is sorted.
TEST_F(ImporterTest, UnsortedInputIsReadTwiceAndGivesTheSame) {
  std::vector<std::string> rows;
  for (int i = 0; i < 3000; ++i) {
    const std::string start = std::to_string(i * 50'000);
    rows.push_back(std::to_string(i) + ",,front,GET," + start + ",90000,,,200\n");
    rows.push_back(std::to_string(i) + ",front,cart,get," + start + ",30000,,,200\n");
  }
  std::string sorted = kHeader, shuffled = kHeader;
  for (const std::string& row : rows) sorted += row;
  std::shuffle(rows.begin(), rows.end(), std::mt19937(1));
  for (const std::string& row : rows) shuffled += row;
  options_.reorder_ns = 1'000'000'000;
  const auto a = Run(ImportFormat::kRpcCsv, {Put("a", sorted)});
  const auto b = Run(ImportFormat::kRpcCsv, {Put("b", shuffled)});
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_FALSE(a->report.sorted);
  EXPECT_TRUE(b->report.sorted);
  ASSERT_EQ(a->ticks.size(), b->ticks.size());
  for (std::size_t i = 0; i < a->ticks.size(); ++i) {
    for (const char* const caller : {"", "front"}) {
      const char* const callee = *caller == '\0' ? "front" : "cart";
      ASSERT_EQ(EdgeMean(*a, i, caller, callee), EdgeMean(*b, i, caller, callee)) << i;
    }
  }
}

std::string JaegerTrace() {
  return R"({"traceID":"07","spans":[
    {"traceID":"07","spanID":"a1","operationName":"GET \"x\" }","references":[],"startTime":100000,
     "duration":100000,"tags":[{"key":"span.kind","type":"string","value":"server"},
     {"key":"n","type":"int64","value":3}],"logs":[],"processID":"p1"},
    {"traceID":"07","spanID":"a2","operationName":"work","references":[
     {"refType":"CHILD_OF","traceID":"07","spanID":"a1"}],"startTime":110000,"duration":80000,
     "tags":[{"key":"span.kind","type":"string","value":"internal"}],"processID":"p1"},
    {"traceID":"07","spanID":"a3","operationName":"get","references":[
     {"refType":"CHILD_OF","traceID":"07","spanID":"a2"}],"startTime":120000,"duration":50000,
     "tags":[{"key":"span.kind","type":"string","value":"client"}],"processID":"p1"},
    {"traceID":"07","spanID":"a4","operationName":"get","references":[
     {"refType":"CHILD_OF","traceID":"07","spanID":"a3"}],"startTime":121000,"duration":48000,
     "tags":[{"key":"span.kind","type":"string","value":"server"}],"processID":"p2"}],
    "processes":{"p1":{"serviceName":"front","tags":[{"key":"hostname","type":"string",
     "value":"h1"}]},"p2":{"serviceName":"cart"}}})";
}

TEST_F(ImporterTest, JaegerInEveryShapeItComes) {
  for (const std::string& text :
       {"{\"data\":[" + JaegerTrace() + "],\"total\":0,\"errors\":[{}]}",
        "{\"total\":0, \"data\" : [\n" + JaegerTrace() + "]}", JaegerTrace(),
        "[" + JaegerTrace() + "]", "\n\n " + JaegerTrace() + "\n"}) {
    SCOPED_TRACE(text.substr(0, 40));
    const auto run = Run(ImportFormat::kJaegerJson, {Put("a", text)});
    ASSERT_TRUE(run.ok()) << run.status();
    ExpectCalls(*run);
    EXPECT_EQ(run->report.internal, 1u);
    const ServiceId front = *run->topology.FindService("front");
    EXPECT_FLOAT_EQ(static_cast<float>(*run->ticks[0].services.mean(front, Channel::kBlocked)),
                    0.5f);
  }
}

TEST_F(ImporterTest, JaegerSaysWhereItIsBroken) {
  const auto error = [&](std::string from, const std::string& to) {
    std::string text = "{\"data\":[" + JaegerTrace() + "]}";
    text.replace(text.find(from), from.size(), to);
    return Error(ImportFormat::kJaegerJson, text);
  };
  EXPECT_THAT(error("\"duration\":80000", "\"duration\":-1"), HasSubstr("byte 9: "));
  EXPECT_THAT(error("\"duration\":80000", "\"duration\":-1"), HasSubstr("negative"));
  EXPECT_THAT(error("\"duration\":80000", "\"duration\":NaN"), HasSubstr("byte 9: "));
  EXPECT_THAT(error("\"duration\":80000", "\"duration\":1e999"), HasSubstr("whole number"));
  EXPECT_THAT(error("\"processID\":\"p2\"", "\"processID\":\"p9\""), HasSubstr("processID"));
  EXPECT_THAT(error("\"processes\"", "\"professes\""), HasSubstr("processes"));
  EXPECT_THAT(error("\"spanID\":\"a2\"", "\"spanID\":\"xy\""), HasSubstr("hexadecimal"));
  EXPECT_THAT(error("]}", ""), HasSubstr("byte"));
  EXPECT_THAT(Error(ImportFormat::kJaegerJson, "{\"data\":[{\"a\":"), HasSubstr("cut off"));
  EXPECT_THAT(Error(ImportFormat::kJaegerJson, "{\"data\":[]}"), HasSubstr("no span"));
  EXPECT_THAT(Error(ImportFormat::kJaegerJson, "}"), HasSubstr("byte 0"));
  options_.max_bytes_per_object = 1000;
  EXPECT_THAT(Error(ImportFormat::kJaegerJson,
                    "{\"data\":[{\"a\":\"" + std::string(3 << 20, 'x') + "\"}]}"),
              HasSubstr("begins here"));
}

TEST_F(ImporterTest, ZipkinWithSharedIdsAndWithout) {
  for (const bool shared : {false, true}) {
    SCOPED_TRACE(shared);
    const std::string server =
        shared ? R"("id":"a3","parentId":"a1","shared":true)" : R"("id":"a4","parentId":"a3")";
    const std::string text = R"([[{"traceId":"07","id":"a1","kind":"SERVER","name":"get",
      "timestamp":100000,"duration":100000,"localEndpoint":{"serviceName":"front","ipv4":"1.2.3.4"}},
      {"traceId":"07","id":"a3","parentId":"a1","kind":"CLIENT","timestamp":120000,"duration":50000,
      "localEndpoint":{"serviceName":"front"},"tags":{"error":"no"}},{"traceId":"07",)" +
                             server + R"(,"kind":"SERVER","timestamp":121000,"duration":48000,
      "localEndpoint":{"serviceName":"cart"}}]])";
    const auto run = Run(ImportFormat::kZipkinJson, {Put("a", text)});
    ASSERT_TRUE(run.ok()) << run.status();
    ExpectCalls(*run);
  }
}

TEST_F(ImporterTest, OtlpAsADocumentOrALineEach) {
  const auto resource = [](const std::string& service, const std::string& spans) {
    return R"({"resource":{"attributes":[{"key":"service.name","value":{"stringValue":")" +
           service + R"("}}]},"scopeSpans":[{"scope":{},"spans":[)" + spans + "]}]}";
  };
  const std::string front = resource(
      "front", R"({"traceId":"00000000000000000000000000000007","spanId":"00000000000000a1",
      "parentSpanId":"","name":"GET","kind":2,"startTimeUnixNano":"100000000",
      "endTimeUnixNano":"200000000","attributes":[{"key":"n","value":{"intValue":"3"}}],
      "status":{"code":2}},{"traceId":"00000000000000000000000000000007",
      "spanId":"00000000000000a3","parentSpanId":"00000000000000a1","name":"get",
      "kind":"SPAN_KIND_CLIENT","startTimeUnixNano":120000000,"endTimeUnixNano":"170000000"})");
  const std::string cart =
      resource("cart", R"({"traceId":"00000000000000000000000000000007","spanId":"00000000000000a4",
      "parentSpanId":"00000000000000a3","name":"get","kind":2,"startTimeUnixNano":"121000000",
      "endTimeUnixNano":"169000000"})");
  for (const std::string& text :
       {"{\"resourceSpans\":[" + front + "," + cart + "]}",
        "{\"resourceSpans\":[" + front + "]}\n{\"resourceSpans\":[" + cart + "]}\n"}) {
    const auto run = Run(ImportFormat::kOtlpJson, {Put("a", text)});
    ASSERT_TRUE(run.ok()) << run.status();
    ExpectCalls(*run);
  }
  EXPECT_THAT(Error(ImportFormat::kOtlpJson, "{\"resourceSpans\":[{\"resource\":{}}]}"),
              HasSubstr("service.name"));
}

TEST_F(ImporterTest, AFolderOfTables) {
  ASSERT_EQ(mkdir((dir_ / "f").c_str(), 0755), 0);
  Put("f/topology.csv", "caller,callee\n,front\nfront,cart\n");
  Put("f/depths.csv", "time_ms,front#queued,cart#outstanding\n1000,3,1.5\n1100,4,2\n1300,,\n");
  Put("f/latency.csv",
      "time_ms,count,p50_ms,p99_ms,over_target,class\n1000,100,5,20.5,1,buy\n1100,90,6,250,2,\n");
  Put("f/violations.csv", "start_ms,end_ms,culprit,cause\n1100,1300,cart,disk\n1100,1200,load,\n");
  const auto run = Run(ImportFormat::kCsvFolder, {dir_ / "f"});
  ASSERT_TRUE(run.ok()) << run.status();
  ASSERT_EQ(run->ticks.size(), 3u);
  EXPECT_EQ(run->ticks[0].tick, 9);  // 1000 ms is its end
  EXPECT_EQ(run->ticks[2].tick, 12);
  const ServiceId front = *run->topology.FindService("front");
  const ServiceId cart = *run->topology.FindService("cart");
  EXPECT_EQ(run->ticks[0].services.depth(front, Channel::kQueued), 3);
  EXPECT_EQ(Outstanding(run->ticks[1], run->topology, cart), 2);
  EXPECT_FALSE(run->ticks[2].services.depth(front, Channel::kQueued));
  const ClassId buy = *run->topology.FindRequestClass("", "buy");
  EXPECT_EQ(run->ticks[0].classes[buy.index()].p99_ns, 20'500'000);
  EXPECT_EQ(run->ticks[0].classes[buy.index()].over_target, 1u);
  ASSERT_EQ(run->events.size(), 2u);
  EXPECT_EQ(run->events[0].culprit, "cart");
  EXPECT_EQ(run->events[0].cause, "disk");
  EXPECT_EQ(run->events[0].start_ns, 1'100'000'000);
  EXPECT_EQ(run->events[1].initiation, Initiation::kLoad);

  const auto error = [&](const char* file, const std::string& text) {
    const std::string before = testing::ReadFile(dir_ / file);
    Put(file, text);
    const std::string message = Run(ImportFormat::kCsvFolder, {dir_ / "f"}).status().ToString();
    Put(file, before);
    return message;
  };
  EXPECT_THAT(error("f/depths.csv", "time_ms,front#queued\n1000,1\n1000,2\n"),
              HasSubstr("depths.csv:3: column time_ms"));
  EXPECT_THAT(error("f/depths.csv", "time_ms,front#queued\n1000,nan\n"),
              HasSubstr("column front#queued: \"nan\""));
  EXPECT_THAT(error("f/depths.csv", "time_ms,front#queued\n1000,-1\n"), HasSubstr("\"-1\""));
  EXPECT_THAT(error("f/depths.csv", "time_ms,front#depth\n1000,1\n"), HasSubstr("no channel"));
  EXPECT_THAT(error("f/depths.csv", "time_ms,front#queued\n1000\n"), HasSubstr("1 columns"));
  EXPECT_THAT(error("f/depths.csv", "time,front#queued\n"), HasSubstr("time_ms"));
  EXPECT_THAT(error("f/depths.csv", "time_ms,front#queued\n"), HasSubstr("no rows"));
  EXPECT_THAT(error("f/violations.csv", "start_ms,end_ms,culprit,cause\n1,2,nobody,\n"),
              HasSubstr("violations.csv:2: column culprit: \"nobody\""));
  EXPECT_THAT(error("f/violations.csv", "start_ms,end_ms,culprit,cause\n3,2,cart,\n"),
              HasSubstr("before it starts"));
  EXPECT_THAT(error("f/topology.csv", "a,b\n"), HasSubstr("caller,callee"));
  EXPECT_THAT(error("f/latency.csv", "time_ms,count,p50_ms,p99_ms\n1000,1,1,1\n900,1,1,1\n"),
              HasSubstr("latency.csv:3"));
  EXPECT_THAT(error("f/latency.csv", "time_ms,count,p50_ms,p99_ms\n1000,1,1,1\n1000,1,1,1\n"),
              HasSubstr("twice"));
}

TEST_F(ImporterTest, ImportsIntoADatasetThatIsThereAllOrNothing) {
  auto writer = DatasetWriter::Create(dir_ / "set");
  ASSERT_TRUE(Import(ImportFormat::kRpcCsv, {Put("a", kCalls)}, options_, &*writer).ok());
  const std::string before = testing::ReadFile(dir_ / "set");
  EXPECT_FALSE(
      Import(ImportFormat::kRpcCsv, {Put("b", kCalls + "broken\n")}, options_, &*writer).ok());
  EXPECT_EQ(testing::ReadFile(dir_ / "set"), before);
  const auto report = Import(ImportFormat::kRpcCsv, {Put("c", kCalls)}, options_, &*writer);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->run, 1u);
  EXPECT_EQ(ImportToFile(ImportFormat::kRpcCsv, {Put("c", kCalls)}, dir_ / "set", options_)
                .status()
                .code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(ImporterTest, CanBeCancelled) {
  std::string many = kHeader;
  for (int i = 0; i < 120'000; ++i) {
    many += std::to_string(i) + ",,front,GET," + std::to_string(i * 1000) + ",10,,,200\n";
  }
  std::uint64_t told = 0;
  options_.progress = [&](const ImportProgress& progress) {
    EXPECT_EQ(progress.bytes_total, many.size());
    EXPECT_LE(progress.bytes_done, progress.bytes_total);
    return ++told < 2;
  };
  EXPECT_EQ(Run(ImportFormat::kRpcCsv, {Put("a", many)}).status().code(),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(told, 2u);
}

}  // namespace
}  // namespace seer
