// Jaeger, Zipkin and OTLP: the objects that the splitter cuts out, parsed with simdjson on demand.
#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "dataset/digits.h"
#include "dataset/importers.h"
#include "dataset/json_splitter.h"
#include "dataset/json_values.h"
#include "dataset/span_batch.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

using Kind = TraceSpan::Kind;

constexpr std::int64_t kMaxUs = std::numeric_limits<std::int64_t>::max() / 1000 / 4;

Problem SetTimes(std::int64_t start_us, std::int64_t duration_us, TraceSpan* span) {
  if (duration_us < 0) return Problem("a duration is negative: the span ends before it starts");
  if (start_us < 0 || start_us > kMaxUs || duration_us > kMaxUs) {
    return Problem("a time is out of range, or missing");
  }
  span->start_ns = start_us * 1000;
  span->end_ns = (start_us + duration_us) * 1000;
  return {};
}

Kind KindOf(std::string_view name) {
  // Jaeger writes "server", Zipkin "SERVER", OTLP "SPAN_KIND_SERVER".
  constexpr std::string_view kPrefix = "SPAN_KIND_";
  if (name.substr(0, kPrefix.size()) == kPrefix) name.remove_prefix(kPrefix.size());
  if (name.empty()) return Kind::kUnknown;
  switch (name[0] | 0x20) {
    case 's':
      return Kind::kServer;
    case 'c':
      return name.size() == 6 ? Kind::kClient : Kind::kConsumer;
    case 'p':
      return Kind::kProducer;
    case 'i':
      return Kind::kInternal;
    default:
      return Kind::kUnknown;
  }
}

class Jaeger {
 public:
  Jaeger(SpanBatcher* spans) : spans_(spans) {}
  static constexpr std::string_view kList = "data";

  Problem Object(ondemand::document& document, absl::Status* status) {
    ondemand::object trace;
    SEER_TRY(Problem(document.get_object().get(trace)));
    // The processes stand behind the spans that name them.
    processes_.clear();
    ondemand::value value;
    error_code code = trace.find_field_unordered("processes").get(value);
    if (code == simdjson::NO_SUCH_FIELD) {
      return Problem("there are no processes: is it a trace of Jaeger's query API?");
    }
    SEER_TRY(Problem(code));
    SEER_TRY(ForEachField(value, [&](ondemand::raw_json_string key, ondemand::value& process) {
      return Process(key, process);
    }));
    if (processes_.size() > kFewProcesses) {
      std::stable_sort(processes_.begin(), processes_.end(), ByName);
    }
    code = trace.find_field_unordered("spans").get(value);
    if (code == simdjson::NO_SUCH_FIELD) return Problem("there are no spans");
    SEER_TRY(Problem(code));
    return ForEachItem(value, [&](ondemand::value& span) { return Span(span, status); });
  }

 private:
  struct Known {
    std::uint64_t head = 0;  // HeadOf(name)
    std::string_view name;   // in the piece
    std::uint32_t service = 0, host = 0;
  };
  static constexpr std::size_t kFewProcesses = 16;

  // The first bytes of a name; most have no more.
  static std::uint64_t HeadOf(std::string_view name) {
    const std::uint64_t word = LoadWord(name.data());
    return name.size() >= 8 ? word : word & ~(~std::uint64_t{0} << (8 * name.size()));
  }
  static bool ByName(const Known& a, const Known& b) {
    return a.head != b.head ? a.head < b.head : a.name < b.name;
  }
  static bool IsWantedTag(std::string_view tag) {
    return tag == "span.kind" || tag == "peer.service" || tag == "otel.status_code";
  }

  Problem Process(ondemand::raw_json_string key, ondemand::value& process) {
    Known known;
    // Names like p1: without escapes, so the bytes up to the quote are the name.
    const char* const name = key.raw();
    std::size_t size = 0;
    while (name[size] != '"' && name[size] != '\\') ++size;  // simdjson has seen the quote
    known.name = std::string_view(name, size);
    known.head = HeadOf(known.name);
    SEER_TRY(ForEachField(process, [&](ondemand::raw_json_string field, ondemand::value& value) {
      std::string_view text;
      if (Is(field, "serviceName\"")) {
        SEER_TRY(GetString(value, &text));
        known.service = spans_->names().Of(text);
      } else if (Is(field, "tags\"")) {
        return ForEachTag(
            value, [](std::string_view tag) { return tag == "hostname"; }, GetText,
            [&](std::string_view, std::string_view words) {
              known.host = spans_->names().Of(words);
            });
      }
      return Problem();
    }));
    processes_.push_back(known);
    return {};
  }

  // The last one of a name. Traces of thousands of processes are sorted.
  const Known* Find(std::string_view name) const {
    const std::uint64_t head = HeadOf(name);
    if (processes_.size() > kFewProcesses) {
      Known wanted;
      wanted.head = head;
      wanted.name = name;
      auto at = std::upper_bound(processes_.begin(), processes_.end(), wanted, ByName);
      if (at == processes_.begin()) return nullptr;
      --at;
      return at->head == head && at->name == name ? &*at : nullptr;
    }
    for (std::size_t i = processes_.size(); i-- > 0;) {
      const Known& process = processes_[i];
      if (process.head == head && process.name == name) return &process;
    }
    return nullptr;
  }

  Problem Span(ondemand::value& json, absl::Status* status) {
    TraceSpan span;
    std::int64_t start_us = -1, duration_us = 0;
    bool known_process = false;
    // In the order in which Jaeger writes them.
    SEER_TRY(ForEachField(json, [&](ondemand::raw_json_string field, ondemand::value& value) {
      std::string_view text;
      if (Is(field, "traceID\"")) return GetTraceId(value, &span.trace);
      if (Is(field, "spanID\"")) return GetSpanId(value, &span.id);
      if (Is(field, "operationName\"")) {
        SEER_TRY(GetString(value, &text));
        span.operation = spans_->names().Of(text);
      } else if (Is(field, "references\"")) {
        return References(value, &span);
      } else if (Is(field, "startTime\"")) {
        return GetInteger(value, &start_us);
      } else if (Is(field, "duration\"")) {
        return GetInteger(value, &duration_us);
      } else if (Is(field, "tags\"")) {
        return ForEachTag(value, IsWantedTag, GetText,
                          [&](std::string_view tag, std::string_view words) {
                            if (tag == "span.kind") span.kind = KindOf(words);
                            if (tag == "peer.service") span.remote = spans_->names().Of(words);
                            if (tag == "otel.status_code" && words == "ERROR")
                              span.outcome = Outcome::kFailed;
                          });
      } else if (Is(field, "processID\"")) {
        SEER_TRY(GetString(value, &text));
        if (const Known* const process = Find(text)) {
          known_process = true;
          span.service = process->service;
          span.host = process->host;
        }
      } else if (Is(field, "parentSpanID\"")) {
        return GetSpanId(value, &span.parent);
      }
      return Problem();
    }));
    SEER_TRY(SetTimes(start_us, duration_us, &span));
    if (!known_process || span.service == 0) {
      return Problem("a span's processID is none of the processes with a serviceName");
    }
    *status = spans_->Add(span);
    return status->ok() ? Problem() : Problem("");
  }

  static Problem References(ondemand::value& references, TraceSpan* span) {
    return ForEachItem(references, [&](ondemand::value& reference) {
      std::string_view type;
      std::uint64_t id = 0;
      SEER_TRY(
          ForEachField(reference, [&](ondemand::raw_json_string field, ondemand::value& value) {
            if (Is(field, "refType\"")) return GetString(value, &type);
            if (Is(field, "spanID\"")) return GetSpanId(value, &id);
            return Problem();
          }));
      if (span->parent == 0 || type == "CHILD_OF") span->parent = id;
      return Problem();
    });
  }

  SpanBatcher* const spans_;
  std::vector<Known> processes_;
};

class Zipkin {
 public:
  Zipkin(SpanBatcher* spans) : spans_(spans) {}
  static constexpr std::string_view kList = "";

  Problem Object(ondemand::document& document, absl::Status* status) {
    ondemand::object object;
    SEER_TRY(Problem(document.get_object().get(object)));
    TraceSpan span;
    std::int64_t start_us = -1, duration_us = 0;
    SEER_TRY(ForEachField(object, [&](ondemand::raw_json_string field, ondemand::value& value) {
      std::string_view text;
      if (Is(field, "traceId\"")) return GetTraceId(value, &span.trace);
      if (Is(field, "id\"")) return GetSpanId(value, &span.id);
      if (Is(field, "parentId\"")) return GetSpanId(value, &span.parent);
      if (Is(field, "timestamp\"")) return GetInteger(value, &start_us);
      if (Is(field, "duration\"")) return GetInteger(value, &duration_us);
      if (Is(field, "localEndpoint\"")) return Endpoint(value, &span.service, &span.host);
      if (Is(field, "remoteEndpoint\"")) return Endpoint(value, &span.remote, nullptr);
      if (Is(field, "kind\"")) {
        SEER_TRY(GetString(value, &text));
        span.kind = KindOf(text);
      } else if (Is(field, "name\"")) {
        SEER_TRY(GetText(value, &text));
        span.operation = spans_->names().Of(text);
      } else if (Is(field, "tags\"")) {
        return ForEachField(value, [&](ondemand::raw_json_string tag, ondemand::value&) {
          if (Is(tag, "error\"")) span.outcome = Outcome::kFailed;
          return Problem();
        });
      }
      return Problem();
    }));
    SEER_TRY(SetTimes(start_us, duration_us, &span));
    if (span.service == 0) return Problem("a span has no localEndpoint.serviceName");
    // In Zipkin a span without a kind is within its service.
    if (span.kind == Kind::kUnknown && span.parent != 0) span.kind = Kind::kInternal;
    *status = spans_->Add(span);
    return status->ok() ? Problem() : Problem("");
  }

 private:
  Problem Endpoint(ondemand::value& endpoint, std::uint32_t* service, std::uint32_t* host) {
    return ForEachField(endpoint, [&](ondemand::raw_json_string field, ondemand::value& value) {
      std::string_view text;
      if (Is(field, "serviceName\"")) {
        SEER_TRY(GetText(value, &text));
        *service = spans_->names().Of(text);
      } else if (host != nullptr && Is(field, "ipv4\"")) {
        SEER_TRY(GetText(value, &text));
        *host = spans_->names().Of(text);
      }
      return Problem();
    });
  }

  SpanBatcher* const spans_;
};

class Otlp {
 public:
  Otlp(SpanBatcher* spans) : spans_(spans) {}
  static constexpr std::string_view kList = "resourceSpans";

  Problem Object(ondemand::document& document, absl::Status* status) {
    ondemand::object object;
    SEER_TRY(Problem(document.get_object().get(object)));
    service_ = host_ = 0;
    ondemand::value value;
    const error_code code = object.find_field_unordered("resource").get(value);
    if (!code) {
      SEER_TRY(ForEachField(value, [&](ondemand::raw_json_string field, ondemand::value& inner) {
        if (!Is(field, "attributes\"")) return Problem();
        return ForEachTag(
            inner, [](std::string_view key) { return key == "service.name" || key == "host.name"; },
            GetStringValue,
            [&](std::string_view key, std::string_view text) {
              (key == "service.name" ? service_ : host_) = spans_->names().Of(text);
            });
      }));
    } else if (code != simdjson::NO_SUCH_FIELD) {
      return Problem(code);
    }
    if (service_ == 0) {
      return Problem("resource.attributes has no service.name with a stringValue");
    }
    for (const std::string_view name : {"scopeSpans", "instrumentationLibrarySpans"}) {
      const error_code found = object.find_field_unordered(name).get(value);
      if (found == simdjson::NO_SUCH_FIELD) continue;
      SEER_TRY(Problem(found));
      return ForEachItem(value, [&](ondemand::value& scope) {
        return ForEachField(scope, [&](ondemand::raw_json_string field, ondemand::value& spans) {
          if (!Is(field, "spans\"")) return Problem();
          return ForEachItem(spans, [&](ondemand::value& span) { return Span(span, status); });
        });
      });
    }
    return {};
  }

 private:
  static Problem GetStringValue(ondemand::value& value, std::string_view* text) {
    return ForEachField(value, [&](ondemand::raw_json_string type, ondemand::value& inner) {
      return Is(type, "stringValue\"") ? GetText(inner, text) : Problem();
    });
  }

  Problem Span(ondemand::value& json, absl::Status* status) {
    TraceSpan span;
    span.service = service_;
    span.host = host_;
    std::int64_t start_ns = -1, end_ns = -1;
    SEER_TRY(ForEachField(json, [&](ondemand::raw_json_string field, ondemand::value& value) {
      std::string_view text;
      if (Is(field, "traceId\"")) return GetTraceId(value, &span.trace);
      if (Is(field, "spanId\"")) return GetSpanId(value, &span.id);
      if (Is(field, "parentSpanId\"")) return GetSpanId(value, &span.parent);
      if (Is(field, "startTimeUnixNano\"")) return GetInteger(value, &start_ns);
      if (Is(field, "endTimeUnixNano\"")) return GetInteger(value, &end_ns);
      if (Is(field, "kind\"")) return SpanKind(value, &span.kind);
      if (Is(field, "status\"")) return Status(value, &span.outcome);
      if (Is(field, "name\"")) {
        SEER_TRY(GetString(value, &text));
        span.operation = spans_->names().Of(text);
      } else if (Is(field, "attributes\"")) {
        return ForEachTag(
            value, [](std::string_view key) { return key == "peer.service"; }, GetStringValue,
            [&](std::string_view, std::string_view words) {
              span.remote = spans_->names().Of(words);
            });
      }
      return Problem();
    }));
    if (start_ns < 0 || start_ns / 1000 > kMaxUs || end_ns / 1000 > kMaxUs) {
      return Problem("a time is out of range, or missing");
    }
    if (end_ns < start_ns) return Problem("a span ends before it starts");
    span.start_ns = start_ns;
    span.end_ns = end_ns;
    *status = spans_->Add(span);
    return status->ok() ? Problem() : Problem("");
  }

  static Problem SpanKind(ondemand::value& value, Kind* kind) {
    ondemand::json_type type{};
    SEER_TRY(Problem(value.type().get(type)));
    if (type == ondemand::json_type::string) {
      std::string_view text;
      SEER_TRY(GetString(value, &text));
      *kind = KindOf(text);
      return {};
    }
    std::int64_t number = 0;
    SEER_TRY(GetInteger(value, &number));
    constexpr Kind kKinds[] = {Kind::kUnknown, Kind::kInternal, Kind::kServer,
                               Kind::kClient,  Kind::kProducer, Kind::kConsumer};
    if (number >= 0 && number < 6) *kind = kKinds[number];
    return {};
  }

  static Problem Status(ondemand::value& value, Outcome* outcome) {
    return ForEachField(value, [&](ondemand::raw_json_string field, ondemand::value& code) {
      if (!Is(field, "code\"")) return Problem();
      ondemand::json_type type{};
      SEER_TRY(Problem(code.type().get(type)));
      std::string_view text;
      std::int64_t number = 0;
      if (type == ondemand::json_type::string) {
        SEER_TRY(GetString(code, &text));
      } else {
        SEER_TRY(GetInteger(code, &number));
      }
      if (number == 2 || text == "STATUS_CODE_ERROR") *outcome = Outcome::kFailed;
      return Problem();
    });
  }

  SpanBatcher* const spans_;
  std::uint32_t service_ = 0, host_ = 0;
};

// Spans are handed on some ten thousand at a time: only about where it stands is known.
absl::Status Located(const absl::Status& status, const InputFile& file, const JsonPiece& piece) {
  if (!absl::IsInvalidArgument(status)) return status;
  const auto message = status.message();
  return absl::InvalidArgumentError(file.path() + ": not behind byte " +
                                    std::to_string(piece.offset) + ": " +
                                    std::string(message.data(), message.size()));
}

template <typename Format>
absl::Status ImportObjects(InputFile& file, ImportContext& context) {
  SpanBatcher spans(&context.sink, &context.report);
  Format format(&spans);
  JsonSplitter splitter(&file, Format::kList, context.options.max_bytes_per_object);
  ondemand::parser parser;
  JsonPiece piece;
  for (;;) {
    SEER_ASSIGN_OR_RETURN(const bool more, splitter.Next(&piece));
    if (!more) break;
    ondemand::document document;
    absl::Status status;
    const simdjson::padded_string_view padded(piece.text.data(), piece.text.size(),
                                              piece.text.size() + kJsonPadding);
    Problem problem(parser.iterate(padded).get(document));
    if (!problem) problem = format.Object(document, &status);
    if (!status.ok()) return Located(status, file, piece);
    if (problem) {
      return ByteError(file.path(), piece.offset,
                       "in the object that begins here: " + std::string(problem.what) +
                           ": correct the object, or leave it out");
    }
    SEER_RETURN_IF_ERROR(
        context.meter.Tell(context.bytes_before + file.bytes_done(), context.report.rows));
  }
  return Located(spans.Flush(), file, piece);
}

}  // namespace

absl::Status ImportJson(ImportFormat format, InputFile& file, ImportContext& context) {
  static_assert(kJsonPadding >= simdjson::SIMDJSON_PADDING, "");
  switch (format) {
    case ImportFormat::kJaegerJson:
      return ImportObjects<Jaeger>(file, context);
    case ImportFormat::kZipkinJson:
      return ImportObjects<Zipkin>(file, context);
    default:
      return ImportObjects<Otlp>(file, context);
  }
}

}  // namespace internal
SEER_END_NAMESPACE
