#include "seer/trace/recorder.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/global_object.h"
#include "seer/core/internal/shared_word.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"
#include "seer/core/tsc_clock.h"

SEER_BEGIN_NAMESPACE

namespace {

using internal::Place;
using internal::SpanSource;
using internal::StoreRelease;
using internal::ToAbsl;

constexpr std::size_t kSpansHeader = sizeof(seer_segment_header);
constexpr std::size_t kTables = kSpansHeader + sizeof(seer_spans_header);
constexpr std::size_t kPage = 4096;
// Of all rings together: addresses, of which only what is used becomes memory.
constexpr std::uint64_t kMaxRecords = std::uint64_t{1} << 30;
constexpr std::uint32_t kNoRow = 0xffffffu;  // of 24 bits

absl::Status CheckRange(const char* field, std::uint32_t value, std::uint32_t min,
                        std::uint32_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", value, " is not from ", min, " to ", max));
}

absl::Status CheckText(const char* field, std::string_view text, std::size_t min, std::size_t max) {
  if (text.size() < min || text.size() > max) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": has ", text.size(), " bytes; give it ", min, " to ", max));
  }
  const bool control = std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (!control) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": has a control character; use printable ones"));
}

absl::Status CheckOptions(const RecorderOptions& options) {
  SEER_RETURN_IF_ERROR(
      CheckRange("records_per_thread", options.records_per_thread, 2, std::uint32_t{1} << 20));
  if ((options.records_per_thread & (options.records_per_thread - 1)) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("records_per_thread: ", options.records_per_thread, " is not a power of two"));
  }
  SEER_RETURN_IF_ERROR(CheckRange("max_threads", options.max_threads, 1, 4096));
  SEER_RETURN_IF_ERROR(CheckRange("max_methods", options.max_methods, 1, 65536));
  SEER_RETURN_IF_ERROR(CheckRange("max_edges", options.max_edges, 1, 65536));
  SEER_RETURN_IF_ERROR(CheckRange("max_services", options.max_services, 1, 65535));
  SEER_RETURN_IF_ERROR(CheckText("instance", options.instance, 0, 255));
  if (std::uint64_t{options.records_per_thread} * (options.max_threads + 1) > kMaxRecords) {
    return absl::InvalidArgumentError(absl::StrCat(
        "records_per_thread: ", options.records_per_thread, " times ", options.max_threads,
        " threads is more than ", kMaxRecords, " records; lower one of them"));
  }
  return absl::OkStatus();
}

constexpr std::size_t RoundUp(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

seer_spans_header LayoutFor(const RecorderOptions& options) {
  seer_spans_header layout = {};
  layout.names_offset = kTables;
  layout.methods_offset = layout.names_offset + sizeof(seer_name_row) * options.max_services;
  layout.edges_offset = layout.methods_offset + sizeof(seer_method_row) * options.max_methods;
  layout.rings_offset =
      RoundUp(layout.edges_offset + sizeof(seer_edge_row) * options.max_edges, kPage);
  layout.ring_stride =
      sizeof(seer_ring) + sizeof(seer_span_record) * std::size_t{options.records_per_thread};
  layout.ring_records = options.records_per_thread;
  layout.rings_capacity = options.max_threads + 1;
  layout.names_capacity = options.max_services;
  layout.methods_capacity = options.max_methods;
  layout.edges_capacity = options.max_edges;
  layout.mode = options.when_full == RecorderOptions::WhenFull::kKeepLatest
                    ? SEER_SPANS_KEEP_LATEST
                    : SEER_SPANS_DROP_NEWEST;
  return layout;
}

}  // namespace

struct SpanRecorder::Tables {
  std::uint64_t mask = 0;
  std::uint64_t flags = 0;
  std::unordered_map<std::string, std::uint32_t> names, methods, edges;

  static seer_spans_header* Header(char* data) {
    return reinterpret_cast<seer_spans_header*>(data + kSpansHeader);
  }

  // Where row `number` of a table lies, with memory behind it.
  template <typename Row>
  static absl::StatusOr<Row*> Fresh(ThreadParts::Edit& edit, std::uint64_t table,
                                    std::uint32_t number, std::uint32_t capacity,
                                    const char* option) {
    if (number == capacity) {
      return absl::ResourceExhaustedError(
          absl::StrCat("there are ", number, " already; raise ", option));
    }
    const std::size_t offset = table + number * sizeof(Row);
    SEER_RETURN_IF_ERROR(edit.Reserve(offset, sizeof(Row)));
    return reinterpret_cast<Row*>(edit.data() + offset);
  }

  absl::StatusOr<std::uint32_t> AddName(ThreadParts::Edit& edit, std::string_view name);
  absl::StatusOr<std::uint32_t> AddMethod(ThreadParts::Edit& edit, std::string_view service,
                                          std::string_view method, bool served);
  absl::StatusOr<std::uint32_t> AddEdge(ThreadParts::Edit& edit, std::string_view caller,
                                        std::string_view callee);
};

// [N] of all three: the row is complete before its table's count is stored (release).
absl::StatusOr<std::uint32_t> SpanRecorder::Tables::AddName(ThreadParts::Edit& edit,
                                                            std::string_view name) {
  const auto found = names.find(std::string(name));
  if (found != names.end()) return found->second;
  seer_spans_header* const h = Header(edit.data());
  const std::uint32_t number = h->names_count;
  SEER_ASSIGN_OR_RETURN(
      seer_name_row* const row,
      Fresh<seer_name_row>(edit, h->names_offset, number, h->names_capacity, "max_services"));
  row->bytes = static_cast<std::uint8_t>(name.size());
  std::memcpy(row->name, name.data(), name.size());
  names.emplace(name, number);
  StoreRelease(&h->names_count, number + 1);  // [N]
  return number;
}

absl::StatusOr<std::uint32_t> SpanRecorder::Tables::AddMethod(ThreadParts::Edit& edit,
                                                              std::string_view service,
                                                              std::string_view method,
                                                              bool served) {
  // Names hold no control characters.
  std::string key = absl::StrCat(ToAbsl(service), "\n", ToAbsl(method), "\n", served);
  const auto found = methods.find(key);
  if (found != methods.end()) return found->second;
  SEER_ASSIGN_OR_RETURN(const std::uint32_t name, AddName(edit, service));
  seer_spans_header* const h = Header(edit.data());
  const std::uint32_t number = h->methods_count;
  SEER_ASSIGN_OR_RETURN(
      seer_method_row* const row,
      Fresh<seer_method_row>(edit, h->methods_offset, number, h->methods_capacity, "max_methods"));
  row->service = static_cast<std::uint16_t>(name);
  row->flags = served ? SEER_METHOD_SERVED : 0;
  row->bytes = static_cast<std::uint8_t>(method.size());
  std::memcpy(row->name, method.data(), method.size());
  methods.emplace(std::move(key), number);
  StoreRelease(&h->methods_count, number + 1);  // [N]
  return number;
}

absl::StatusOr<std::uint32_t> SpanRecorder::Tables::AddEdge(ThreadParts::Edit& edit,
                                                            std::string_view caller,
                                                            std::string_view callee) {
  std::string key = absl::StrCat(ToAbsl(caller), "\n", ToAbsl(callee));
  const auto found = edges.find(key);
  if (found != edges.end()) return found->second;
  SEER_ASSIGN_OR_RETURN(const std::uint32_t caller_name, AddName(edit, caller));
  SEER_ASSIGN_OR_RETURN(const std::uint32_t callee_name, AddName(edit, callee));
  seer_spans_header* const h = Header(edit.data());
  const std::uint32_t number = h->edges_count;
  SEER_ASSIGN_OR_RETURN(
      seer_edge_row* const row,
      Fresh<seer_edge_row>(edit, h->edges_offset, number, h->edges_capacity, "max_edges"));
  row->caller = static_cast<std::uint16_t>(caller_name);
  row->callee = static_cast<std::uint16_t>(callee_name);
  edges.emplace(std::move(key), number);
  StoreRelease(&h->edges_count, number + 1);  // [N]
  return number;
}

SpanRecorder::SpanRecorder(ThreadParts parts, std::unique_ptr<Tables> tables)
    : parts_(std::move(parts)), tables_(std::move(tables)) {}
SpanRecorder::~SpanRecorder() = default;

absl::StatusOr<std::unique_ptr<SpanRecorder>> SpanRecorder::Create(const RecorderOptions& options) {
  SEER_RETURN_IF_ERROR(CheckOptions(options));
  const bool tsc = TscClock::BestSource() == TscClock::Source::kTsc;
  const seer_spans_header layout = LayoutFor(options);
  PartsOptions wanted;
  wanted.segment.directory = options.directory;
  wanted.segment.kind = SEER_SEGMENT_SPANS;
  wanted.segment.instance = options.instance;
  wanted.segment.stamp_source = tsc ? SEER_STAMP_TSC : SEER_STAMP_MONOTONIC;
  wanted.parts_offset = layout.rings_offset;
  wanted.part_bytes = layout.ring_stride;
  wanted.part_used = layout.ring_stride;
  wanted.parts = layout.rings_capacity;
  wanted.used_word = kSpansHeader + offsetof(seer_spans_header, rings_used);
  SEER_ASSIGN_OR_RETURN(ThreadParts parts, ThreadParts::Create(wanted));
  {
    ThreadParts::Edit edit(parts.key());
    // Of ring 0 only the head is ever written.
    SEER_RETURN_IF_ERROR(edit.Reserve(layout.rings_offset, sizeof(seer_ring)));
    *Tables::Header(edit.data()) = layout;
  }
  parts.Publish();
  auto tables = std::make_unique<Tables>();
  tables->mask = options.records_per_thread - 1;
  tables->flags = (tsc ? 0 : SpanSource::kClockGettime) |
                  (layout.mode == SEER_SPANS_KEEP_LATEST ? SpanSource::kKeepLatest : 0);
  return std::unique_ptr<SpanRecorder>(new SpanRecorder(std::move(parts), std::move(tables)));
}

SpanSource SpanRecorder::Source(std::uint32_t method, std::uint32_t edge, SpanSide side) const {
  SpanSource source;
  const Place place(parts_.key(), 0);
  source.entry = place.entry();
  source.offset = place.offset();
  source.mask = tables_->mask;
  source.bits = tables_->flags | std::uint64_t{method} << SEER_SPAN_METHOD_BIT |
                std::uint64_t{edge} << SEER_SPAN_EDGE_BIT |
                static_cast<std::uint64_t>(side) << SEER_SPAN_SIDE_BIT;
  return source;
}

absl::StatusOr<ServedMethod> SpanRecorder::AddServed(std::string_view service,
                                                     std::string_view method) {
  SEER_RETURN_IF_ERROR(CheckText("service", service, 1, sizeof(seer_name_row::name)));
  SEER_RETURN_IF_ERROR(CheckText("method", method, 1, sizeof(seer_method_row::name)));
  ThreadParts::Edit edit(parts_.key());
  if (edit.data() == nullptr) {
    return absl::FailedPreconditionError("the recorder has been closed");
  }
  SEER_ASSIGN_OR_RETURN(const std::uint32_t row,
                        tables_->AddMethod(edit, service, method, /*served=*/true));
  return ServedMethod(Source(row, kNoRow, SpanSide::kServer));
}

absl::StatusOr<CalledMethod> SpanRecorder::AddCalled(std::string_view caller,
                                                     std::string_view callee,
                                                     std::string_view method) {
  SEER_RETURN_IF_ERROR(CheckText("caller", caller, 1, sizeof(seer_name_row::name)));
  SEER_RETURN_IF_ERROR(CheckText("callee", callee, 1, sizeof(seer_name_row::name)));
  SEER_RETURN_IF_ERROR(CheckText("method", method, 1, sizeof(seer_method_row::name)));
  ThreadParts::Edit edit(parts_.key());
  if (edit.data() == nullptr) {
    return absl::FailedPreconditionError("the recorder has been closed");
  }
  SEER_ASSIGN_OR_RETURN(const std::uint32_t edge, tables_->AddEdge(edit, caller, callee));
  SEER_ASSIGN_OR_RETURN(const std::uint32_t row,
                        tables_->AddMethod(edit, callee, method, /*served=*/false));
  return CalledMethod(Source(row, edge, SpanSide::kClient));
}

absl::Status SpanRecorder::status() const { return parts_.status(); }
std::string SpanRecorder::path() const { return parts_.path(); }
absl::Span<const char> SpanRecorder::segment() const { return parts_.memory(); }

// ---- The global one.

namespace {
internal::GlobalObject<SpanRecorder, RecorderOptions> global_recorder;
}  // namespace

SpanRecorder& SpanRecorder::Global() {
  return global_recorder.Get([](const RecorderOptions& options) {
    absl::StatusOr<std::unique_ptr<SpanRecorder>> made = Create(options);
    // Too many, or no memory at all: one whose methods record nowhere.
    return made.ok() ? *std::move(made)
                     : std::unique_ptr<SpanRecorder>(
                           new SpanRecorder(ThreadParts(), std::make_unique<Tables>()));
  });
}

absl::Status SpanRecorder::SetGlobalOptions(const RecorderOptions& options) {
  SEER_RETURN_IF_ERROR(CheckOptions(options));
  if (global_recorder.SetOptions(options)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "the global recorder is in use already; set its options before the first Global()");
}

SEER_END_NAMESPACE
