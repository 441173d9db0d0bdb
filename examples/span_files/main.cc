// Keeps the spans of a service in files of limited size and number, is "killed" in the middle of a
// write, and reads them back.
//
//   examples/run span-files [DIRECTORY]
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rotating_file_sink.h"
#include "seer/trace/drainer.h"
#include "seer/trace/guarded_sink.h"
#include "seer/trace/recorder.h"

namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "span-files: %s\n", std::string(status.message()).c_str());
  return 1;
}

absl::Status Serve(const example::RotatingFileSink::Options& files) {
  auto sink = example::RotatingFileSink::Open(files);
  if (!sink.ok()) return sink.status();
  auto guarded = seer::GuardedSink::Create(*std::move(sink));
  if (!guarded.ok()) return guarded.status();
  const std::shared_ptr<seer::GuardedSink> out = *std::move(guarded);

  auto recorder = seer::SpanRecorder::Create({});
  if (!recorder.ok()) return recorder.status();
  auto drainer = seer::SpanDrainer::Create(**recorder, out);
  if (!drainer.ok()) return drainer.status();
  const auto get = (*recorder)->AddServed("cart", "GET /cart");
  if (!get.ok()) return get.status();
  for (int tick = 0; tick < 20; ++tick) {
    for (int i = 0; i < 100; ++i) {
      seer::ServerSpan span(*get, seer::TraceContext());
      span.HandlerStart();
      span.HandlerEnd();
      span.End(seer::Outcome::kOk);
    }
    if (absl::Status drained = (*drainer)->Drain(); !drained.ok()) return drained;
  }
  return out->Flush(std::chrono::seconds(5));
}

}  // namespace

int main(int argc, char** argv) {
  std::string directory = argc > 1 ? argv[1] : "";
  char scratch[] = "/tmp/seer-span-files-XXXXXX";
  if (directory.empty()) {
    if (mkdtemp(scratch) == nullptr) return Fail(absl::InternalError("cannot make a directory"));
    directory = scratch;
  }
  example::RotatingFileSink::Options options;
  options.directory = directory;
  options.max_file_bytes = 16 << 10;  // two batches of 100 spans
  options.max_files = 8;
  if (const absl::Status served = Serve(options); !served.ok()) return Fail(served);

  auto again = example::RotatingFileSink::Open(options);  // the next run
  if (!again.ok()) return Fail(again.status());
  const std::vector<std::string> files = (*again)->Files();
  // As a process leaves it that is killed while it writes.
  const std::string last = files[files.size() - 2];
  if (truncate(last.c_str(), 9000) != 0) return Fail(absl::InternalError("cannot truncate"));
  std::size_t spans = 0;
  std::size_t cut_off = 0;
  for (const std::string& path : files) {
    const auto file = example::ReadSpanFile(path);
    if (!file.ok()) return Fail(file.status());
    for (const seer::SpanBatch& batch : file->batches) spans += batch.spans.size();
    cut_off += file->cut_off;
  }
  std::printf("%zu files, %zu spans, %zu cut off\n", files.size(), spans, cut_off);
  if (argc <= 1) {
    for (const std::string& path : files) unlink(path.c_str());
    rmdir(directory.c_str());
  }
  return 0;
}
