// Jaeger, Zipkin and OTLP: the objects that the splitter cuts out, parsed with simdjson on demand.
#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "dataset/importers.h"
#include "dataset/json_splitter.h"
#include "dataset/span_batch.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

namespace ondemand = simdjson::ondemand;
using simdjson::error_code;
using Kind = TraceSpan::Kind;

// What is wrong with an object: simdjson's code, or words of ours.
struct Problem {
  const char* what = nullptr;
  Problem() = default;
  Problem(error_code code) : what(code ? simdjson::error_message(code) : nullptr) {}
  explicit Problem(const char* words) : what(words) {}
  explicit operator bool() const { return what != nullptr; }
};

// A name of its own for each: they stand within each other.
#define SEER_TRY(expression) SEER_TRY_AS(SEER_INTERNAL_CONCAT(problem_, __COUNTER__), expression)
#define SEER_TRY_AS(name, expression)                   \
  do {                                                  \
    if (const Problem name = (expression)) return name; \
  } while (false)

constexpr std::int64_t kMaxUs = std::numeric_limits<std::int64_t>::max() / 1000 / 4;

// Calls take(key, value) for each field.
template <typename Take>
Problem ForEachField(ondemand::object object, const Take& take) {
  for (auto result : object) {
    ondemand::field field;
    SEER_TRY(Problem(std::move(result).get(field)));
    SEER_TRY(take(field.key(), field.value()));
  }
  return {};
}
template <typename Take>
Problem ForEachField(ondemand::value& value, const Take& take) {
  ondemand::object object;
  SEER_TRY(Problem(value.get_object().get(object)));
  return ForEachField(object, take);
}
template <typename Take>
Problem ForEachItem(ondemand::value& value, const Take& take) {
  ondemand::array array;
  SEER_TRY(Problem(value.get_array().get(array)));
  for (auto result : array) {
    ondemand::value item;
    SEER_TRY(Problem(std::move(result).get(item)));
    SEER_TRY(take(item));
  }
  return {};
}

Problem GetString(ondemand::value& value, std::string_view* text) {
  return Problem(value.get_string().get(*text));
}
// A text, or nothing where there is another thing (a tag may be a number).
Problem GetText(ondemand::value& value, std::string_view* text) {
  *text = {};
  ondemand::json_type type{};
  SEER_TRY(Problem(value.type().get(type)));
  return type == ondemand::json_type::string ? GetString(value, text) : Problem();
}

// Whole numbers; OTLP writes those of 64 bits as text.
Problem GetInteger(ondemand::value& value, std::int64_t* number) {
  ondemand::json_type type{};
  SEER_TRY(Problem(value.type().get(type)));
  const error_code code = type == ondemand::json_type::string
                              ? value.get_int64_in_string().get(*number)
                              : value.get_int64().get(*number);
  return code ? Problem("a time is no whole number of 64 bits") : Problem();
}

bool ParseHex(std::string_view text, std::uint64_t* number) {
  std::uint64_t value = 0;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return false;
    value = value << 4 | static_cast<std::uint64_t>(digit);
  }
  *number = value;
  return text.size() <= 16;
}

Problem GetSpanId(ondemand::value& value, std::uint64_t* id) {
  std::string_view text;
  SEER_TRY(GetString(value, &text));
  return ParseHex(text, id) ? Problem() : Problem("a span id is not up to 16 hexadecimal digits");
}
Problem GetTraceId(ondemand::value& value, TraceId* id) {
  std::string_view text;
  SEER_TRY(GetString(value, &text));
  const std::size_t high = text.size() > 16 ? text.size() - 16 : 0;
  return ParseHex(text.substr(0, high), &id->high) && ParseHex(text.substr(high), &id->low)
             ? Problem()
             : Problem("a trace id is not up to 32 hexadecimal digits");
}

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
    code = trace.find_field_unordered("spans").get(value);
    if (code == simdjson::NO_SUCH_FIELD) return Problem("there are no spans");
    SEER_TRY(Problem(code));
    return ForEachItem(value, [&](ondemand::value& span) { return Span(span, status); });
  }

 private:
  struct Known {
    std::string name;
    std::uint32_t service = 0, host = 0;
  };

  Problem Process(ondemand::raw_json_string key, ondemand::value& process) {
    Known known;
    // Names like p1: without escapes, so the bytes up to the quote are the name.
    known.name = RawText(key);
    SEER_TRY(ForEachField(process, [&](ondemand::raw_json_string field, ondemand::value& value) {
      std::string_view text;
      if (field == "serviceName") {
        SEER_TRY(GetString(value, &text));
        known.service = spans_->names().Of(text);
      } else if (field == "tags") {
        SEER_TRY(Tags(value, [&](std::string_view tag, std::string_view words) {
          if (tag == "hostname") known.host = spans_->names().Of(words);
        }));
      }
      return Problem();
    }));
    processes_.push_back(std::move(known));
    return {};
  }

  static std::string RawText(ondemand::raw_json_string key) {
    const char* const text = key.raw();
    std::size_t size = 0;
    while (text[size] != '"' && text[size] != '\\') ++size;  // simdjson has seen the quote
    return std::string(text, size);
  }

  template <typename Take>
  static Problem Tags(ondemand::value& tags, const Take& take) {
    return ForEachItem(tags, [&](ondemand::value& tag) {
      std::string_view key, text;
      SEER_TRY(ForEachField(tag, [&](ondemand::raw_json_string field, ondemand::value& value) {
        if (field == "key") return GetString(value, &key);
        if (field == "value") return GetText(value, &text);
        return Problem();
      }));
      take(key, text);
      return Problem();
    });
  }

  Problem Span(ondemand::value& json, absl::Status* status) {
    TraceSpan span;
    std::int64_t start_us = -1, duration_us = 0;
    bool known_process = false;
    SEER_TRY(ForEachField(json, [&](ondemand::raw_json_string field, ondemand::value& value) {
      std::string_view text;
      if (field == "traceID") return GetTraceId(value, &span.trace);
      if (field == "spanID") return GetSpanId(value, &span.id);
      if (field == "parentSpanID") return GetSpanId(value, &span.parent);
      if (field == "startTime") return GetInteger(value, &start_us);
      if (field == "duration") return GetInteger(value, &duration_us);
      if (field == "references") return References(value, &span);
      if (field == "operationName") {
        SEER_TRY(GetString(value, &text));
        span.operation = spans_->names().Of(text);
      } else if (field == "processID") {
        SEER_TRY(GetString(value, &text));
        for (const Known& process : processes_) {
          if (process.name != text) continue;
          known_process = true;
          span.service = process.service;
          span.host = process.host;
        }
      } else if (field == "tags") {
        return Tags(value, [&](std::string_view tag, std::string_view words) {
          if (tag == "span.kind") span.kind = KindOf(words);
          if (tag == "peer.service") span.remote = spans_->names().Of(words);
          if (tag == "otel.status_code" && words == "ERROR") span.outcome = Outcome::kFailed;
        });
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
            if (field == "refType") return GetString(value, &type);
            if (field == "spanID") return GetSpanId(value, &id);
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
      if (field == "traceId") return GetTraceId(value, &span.trace);
      if (field == "id") return GetSpanId(value, &span.id);
      if (field == "parentId") return GetSpanId(value, &span.parent);
      if (field == "timestamp") return GetInteger(value, &start_us);
      if (field == "duration") return GetInteger(value, &duration_us);
      if (field == "localEndpoint") return Endpoint(value, &span.service, &span.host);
      if (field == "remoteEndpoint") return Endpoint(value, &span.remote, nullptr);
      if (field == "kind") {
        SEER_TRY(GetString(value, &text));
        span.kind = KindOf(text);
      } else if (field == "name") {
        SEER_TRY(GetText(value, &text));
        span.operation = spans_->names().Of(text);
      } else if (field == "tags") {
        return ForEachField(value, [&](ondemand::raw_json_string tag, ondemand::value&) {
          if (tag == "error") span.outcome = Outcome::kFailed;
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
      if (field == "serviceName") {
        SEER_TRY(GetText(value, &text));
        *service = spans_->names().Of(text);
      } else if (field == "ipv4" && host != nullptr) {
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
        if (field != "attributes") return Problem();
        return Attributes(inner, [&](std::string_view key, std::string_view text) {
          if (key == "service.name") service_ = spans_->names().Of(text);
          if (key == "host.name") host_ = spans_->names().Of(text);
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
          if (field != "spans") return Problem();
          return ForEachItem(spans, [&](ondemand::value& span) { return Span(span, status); });
        });
      });
    }
    return {};
  }

 private:
  template <typename Take>
  static Problem Attributes(ondemand::value& attributes, const Take& take) {
    return ForEachItem(attributes, [&](ondemand::value& attribute) {
      std::string_view key, text;
      SEER_TRY(
          ForEachField(attribute, [&](ondemand::raw_json_string field, ondemand::value& value) {
            if (field == "key") return GetString(value, &key);
            if (field != "value") return Problem();
            return ForEachField(value, [&](ondemand::raw_json_string type, ondemand::value& inner) {
              return type == "stringValue" ? GetText(inner, &text) : Problem();
            });
          }));
      take(key, text);
      return Problem();
    });
  }

  Problem Span(ondemand::value& json, absl::Status* status) {
    TraceSpan span;
    span.service = service_;
    span.host = host_;
    std::int64_t start_ns = -1, end_ns = -1;
    SEER_TRY(ForEachField(json, [&](ondemand::raw_json_string field, ondemand::value& value) {
      std::string_view text;
      if (field == "traceId") return GetTraceId(value, &span.trace);
      if (field == "spanId") return GetSpanId(value, &span.id);
      if (field == "parentSpanId") return GetSpanId(value, &span.parent);
      if (field == "startTimeUnixNano") return GetInteger(value, &start_ns);
      if (field == "endTimeUnixNano") return GetInteger(value, &end_ns);
      if (field == "kind") return SpanKind(value, &span.kind);
      if (field == "status") return Status(value, &span.outcome);
      if (field == "name") {
        SEER_TRY(GetString(value, &text));
        span.operation = spans_->names().Of(text);
      } else if (field == "attributes") {
        return Attributes(value, [&](std::string_view key, std::string_view words) {
          if (key == "peer.service") span.remote = spans_->names().Of(words);
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
      if (field != "code") return Problem();
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
    if (!status.ok()) return status;
    if (problem) {
      return ByteError(file.path(), piece.offset,
                       "in the object that begins here: " + std::string(problem.what) +
                           ": correct the object, or leave it out");
    }
    SEER_RETURN_IF_ERROR(
        context.meter.Tell(context.bytes_before + file.bytes_done(), context.report.rows));
  }
  return spans.Flush();
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
