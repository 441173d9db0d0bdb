#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>

#include "dataset/csv_rows.h"
#include "dataset/digits.h"
#include "dataset/importers.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::string_view kColumns[] = {"trace",      "caller",     "callee",
                                         "op",         "c_start_us", "c_dur_us",
                                         "s_start_us", "s_dur_us",   "status"};
constexpr std::size_t kFields = std::size(kColumns);
constexpr std::string_view kHeader =
    "trace,caller,callee,op,c_start_us,c_dur_us,s_start_us,s_dur_us,status";
// 285 years in microseconds: nanoseconds fit 64 bits.
constexpr std::int64_t kMaxUs = 9'000'000'000'000'000;

enum class Parsed { kEmpty, kOk, kBad };

Parsed ParseUs(std::string_view text, std::int64_t* us) {
  if (text.empty()) return Parsed::kEmpty;
  const bool negative = text[0] == '-';
  if (negative) text.remove_prefix(1);
  if (text.empty() || text.size() > 16) return Parsed::kBad;
  std::int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return Parsed::kBad;
    value = value * 10 + (c - '0');
  }
  if (value > kMaxUs) return Parsed::kBad;
  *us = negative ? -value : value;
  return Parsed::kOk;
}

// The same where up to 8 bytes behind the text may be read.
Parsed ParseUsQuickly(std::string_view text, std::int64_t* us) {
  if (text.empty()) return Parsed::kEmpty;
  std::uint64_t value = 0;
  if (text.size() > 16 || !ParseDigits(text.data(), text.size(), &value)) return ParseUs(text, us);
  if (value > static_cast<std::uint64_t>(kMaxUs)) return Parsed::kBad;
  *us = static_cast<std::int64_t>(value);
  return Parsed::kOk;
}

Outcome OutcomeOf(std::string_view status) {
  if (status.empty() || status == "ok" || status == "OK" || status == "0") return Outcome::kOk;
  if (status.size() == 3 && status[0] >= '1' && status[0] <= '4') return Outcome::kOk;  // HTTP
  return Outcome::kFailed;
}

// What the names of a row mean, by the text of its columns caller, callee and op.
class NameCache {
 public:
  NameCache() : slots_(kSlots) {}
  // A slot whose key is `key`, or one that is to be filled. Up to 8 bytes behind the key are read.
  CallIds* Find(std::string_view key, bool* found) {
    Slot& slot = slots_[QuickHash(key.data(), key.size()) % kSlots];
    *found = slot.filled && slot.key == key;
    if (!*found) {
      slot.key.assign(key.data(), key.size());
      slot.filled = true;
    }
    return &slot.ids;
  }

 private:
  static constexpr std::size_t kSlots = 1 << 12;
  struct Slot {
    std::string key;
    CallIds ids;
    bool filled = false;
  };
  std::vector<Slot> slots_;
};

class RpcCsv {
 public:
  RpcCsv(InputFile& file, ImportContext& context) : file_(file), context_(context), rows_(&file) {}

  absl::Status Run() {
    if (!rows_.Next() || rows_.line() != kHeader) {
      SEER_RETURN_IF_ERROR(rows_.status());
      return LineError(file_.path(), 1, {},
                       "the header is " + Quoted(rows_.line()) + ", not " + std::string(kHeader) +
                           ": rename or reorder the columns");
    }
    while (rows_.Next()) {
      if (rows_.line().empty()) continue;
      SEER_RETURN_IF_ERROR(Row());
      if ((rows_.number() & 0xfff) == 0) {
        SEER_RETURN_IF_ERROR(
            context_.meter.Tell(context_.bytes_before + file_.bytes_done(), context_.report.rows));
      }
    }
    return rows_.status();
  }

 private:
  absl::Status Wrong(std::size_t column, std::string_view what) const {
    return LineError(file_.path(), rows_.number(), kColumns[column], what);
  }

  bool Split() {
    if (!rows_.quoted()) {
      if (rows_.fields() != kFields) return false;
      for (std::size_t i = 0; i < kFields; ++i) fields_[i] = rows_.field(i);
      return true;
    }
    if (!SplitCsv(rows_.line(), &quoted_, &scratch_) || quoted_.size() != kFields) return false;
    std::copy(quoted_.begin(), quoted_.end(), fields_.begin());
    return true;
  }

  Parsed Number(std::size_t column, std::int64_t* us) const {
    return rows_.quoted() ? ParseUs(fields_[column], us) : ParseUsQuickly(fields_[column], us);
  }

  TraceId Trace() {
    const std::string_view text = fields_[0];
    std::int64_t number = 0;
    if (Number(0, &number) == Parsed::kOk) return {1, static_cast<std::uint64_t>(number)};
    if (text.empty()) return {};
    if (text == trace_text_) return trace_;  // mostly the row before has the same
    trace_text_.assign(text.data(), text.size());
    trace_ = {2, 0xcbf29ce484222325u};  // FNV-1a: names of traces only have to differ
    for (const char c : text) {
      trace_.low = (trace_.low ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    }
    return trace_;
  }

  absl::Status Interval(std::size_t start_column, std::optional<std::int64_t>* start_us,
                        std::int64_t* duration_us) {
    std::int64_t value = 0;
    const Parsed start = Number(start_column, &value);
    const Parsed duration = Number(start_column + 1, duration_us);
    if (start == Parsed::kEmpty && duration == Parsed::kEmpty) return absl::OkStatus();
    for (const auto& [column, parsed] :
         {std::pair(start_column, start), std::pair(start_column + 1, duration)}) {
      if (parsed != Parsed::kOk) {
        return Wrong(column, Quoted(fields_[column]) +
                                 " is no whole number of microseconds: write both start and "
                                 "duration, or leave both empty");
      }
    }
    if (*duration_us < 0) {
      return Wrong(start_column + 1, Quoted(fields_[start_column + 1]) +
                                         " is negative: the call ends before it starts; correct it "
                                         "or leave the row out");
    }
    if (value + *duration_us > kMaxUs) {
      return Wrong(start_column + 1, Quoted(fields_[start_column + 1]) +
                                         " ends after the times of 64 bits: correct it or leave "
                                         "the row out");
    }
    *start_us = value;
    return absl::OkStatus();
  }

  absl::Status Row() {
    if (!Split()) {
      return LineError(
          file_.path(), rows_.number(), {},
          "has not 9 columns, or an open quote: " + Quoted(rows_.line()) + ": correct the row");
    }
    ++context_.report.rows;
    std::optional<std::int64_t> client, server;
    std::int64_t client_us = 0, server_us = 0;
    SEER_RETURN_IF_ERROR(Interval(4, &client, &client_us));
    SEER_RETURN_IF_ERROR(Interval(6, &server, &server_us));
    if (!client && !server) {
      return Wrong(4, "neither the caller's nor the callee's times are there: fill in one of them");
    }
    if (fields_[2].empty()) return Wrong(2, "is empty: write who was called");

    const bool root = fields_[1].empty();
    // The three names stand next to each other in the line.
    const std::string_view key =
        !rows_.quoted()
            ? std::string_view(fields_[1].data(),
                               static_cast<std::size_t>(fields_[3].data() + fields_[3].size() -
                                                        fields_[1].data()))
            : std::string_view();
    bool found = false;
    CallIds* ids = key.empty() ? &uncached_ : cache_.Find(key, &found);
    if (!found) {
      NamedCall call;
      call.caller = fields_[1];
      call.callee = fields_[2];
      call.operation = fields_[3];
      call.root = root;
      const absl::StatusOr<CallIds> learnt =
          context_.sink.Learn(call, client.value_or(server.value_or(0)) * 1000);
      if (!learnt.ok()) {
        // The slot must not stay filled with another row's ids.
        return Wrong(2, std::string(learnt.status().message()));
      }
      *ids = *learnt;
    }
    SpanInterval interval;
    interval.trace = Trace();
    interval.caller = ids->caller;
    interval.callee = ids->callee;
    interval.edge = ids->edge;
    interval.root = root;
    interval.outcome = OutcomeOf(fields_[8]);
    if (client) {
      interval.side = SpanSide::kClient;
      interval.request_class = ids->request_class;
      interval.start_ns = *client * 1000;
      interval.end_ns = (*client + client_us) * 1000;
      SEER_RETURN_IF_ERROR(context_.sink.Add(interval));
    }
    if (server) {
      interval.side = SpanSide::kServer;
      interval.request_class = client ? ClassId() : ids->request_class;
      interval.start_ns = *server * 1000;
      interval.end_ns = (*server + server_us) * 1000;
      SEER_RETURN_IF_ERROR(context_.sink.Add(interval));
    }
    return absl::OkStatus();
  }

  InputFile& file_;
  ImportContext& context_;
  CsvRows rows_;
  NameCache cache_;
  CallIds uncached_;
  std::array<std::string_view, kFields> fields_;
  std::vector<std::string_view> quoted_;
  std::string scratch_;
  std::string trace_text_;
  TraceId trace_;
};

}  // namespace

absl::Status ImportRpcCsv(InputFile& file, ImportContext& context) {
  return RpcCsv(file, context).Run();
}

}  // namespace internal
SEER_END_NAMESPACE
