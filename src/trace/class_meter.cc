#include "seer/trace/class_meter.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"

SEER_BEGIN_NAMESPACE

namespace {

// A beginning and its end lie in rings that are drained one after the other, at most one drain
// apart.
constexpr std::uint64_t kEarlyFills = 2;

}  // namespace

absl::Status ClassMeter::AddClass(ClassId id, const MeteredClass& wanted) {
  if (!id.valid() || id.value() >= Topology::kMaxRows) {
    return absl::InvalidArgumentError("id: is none; give that of a class of the snapshot");
  }
  if (wanted.service.empty()) {
    return absl::InvalidArgumentError("service: is empty; name the one where requests come in");
  }
  if (wanted.target_ns <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("target_ns: ", wanted.target_ns, " is not positive"));
  }
  for (const Class& known : classes_) {
    if (known.id == id) {
      return absl::AlreadyExistsError(absl::StrCat("id: ", id.value(), " has a class already"));
    }
  }
  classes_.push_back({id, wanted, {}, false});
  class_of_.clear();
  origin_ = Origin();
  return absl::OkStatus();
}

void ClassMeter::LearnMethods(const Topology& topology) {
  if (!origin_.SameNumbering(topology.origin())) class_of_.clear();
  origin_ = topology.origin();
  // A method's name and service never change within an epoch.
  while (class_of_.size() < topology.methods().size()) {
    const Method& method = topology.methods()[class_of_.size()];
    std::uint32_t found = 0;
    if (method.service.valid() && method.service.index() < topology.services().size()) {
      const std::string& service = topology.services()[method.service.index()].name;
      for (std::uint32_t i = 0; i < classes_.size() && found == 0; ++i) {
        const MeteredClass& wanted = classes_[i].wanted;
        const bool named = wanted.methods.empty() ||
                           std::find(wanted.methods.begin(), wanted.methods.end(), method.name) !=
                               wanted.methods.end();
        if (named && wanted.service == service) found = i + 1;
      }
    }
    class_of_.push_back(found);
  }
}

void ClassMeter::Add(const SpanBatch& batch, const Topology& topology) {
  if (!batch.origin.SameNumbering(topology.origin())) return;
  LearnMethods(topology);
  for (const Span& span : batch.spans) {
    if (span.side() != SpanSide::kServer || span.method().value() >= class_of_.size()) continue;
    const std::uint32_t of = class_of_[span.method().value()];
    if (of == 0) continue;
    if (span.outcome() == Outcome::kUnknown) {
      Begin(span, of - 1);
    } else {
      End(span, of - 1);
    }
  }
}

void ClassMeter::Begin(const Span& span, std::uint32_t of) {
  const RequestKey key = {span.trace_id(), span.span_id()};
  ++counts_.begun;
  classes_[of].begins = true;
  if (early_.erase(key) != 0) return;  // it has ended
  if (open_.find(key) != open_.end()) return;
  if (open_.size() >= options_.max_open) {
    ++counts_.refused;
    return;
  }
  open_.emplace(key, Open{span.start_ns(), of});
}

void ClassMeter::End(const Span& span, std::uint32_t of) {
  ++counts_.requests;
  Class& c = classes_[of];
  const std::int64_t latency_ns = span.duration_ns();
  ClassSample& sample = c.sample;
  if (sample.count != UINT32_MAX) ++sample.count;
  if (latency_ns > c.wanted.target_ns && sample.over_target != UINT32_MAX) ++sample.over_target;
  sample.latency.Record(latency_ns);
  if (!c.begins) return;
  const RequestKey key = {span.trace_id(), span.span_id()};
  if (open_.erase(key) == 0 && early_.size() < options_.max_open) early_.emplace(key, fills_);
}

void ClassMeter::Fill(std::int64_t now_unix_ns, std::vector<ClassSample>* classes) {
  std::vector<std::int64_t> oldest(classes_.size(), now_unix_ns);
  std::vector<bool> any(classes_.size(), false);
  const std::int64_t longest = options_.forget_after.count();
  for (auto at = open_.begin(); at != open_.end();) {
    const Open& open = at->second;
    // Unsigned: stamps are anybody's. Those of the future are young.
    const bool past = open.start_ns < now_unix_ns;
    const std::uint64_t age =
        past ? static_cast<std::uint64_t>(now_unix_ns) - static_cast<std::uint64_t>(open.start_ns)
             : 0;
    if (age > static_cast<std::uint64_t>(std::max<std::int64_t>(longest, 0))) {
      ++counts_.forgotten;
      at = open_.erase(at);
      continue;
    }
    any[open.of] = true;
    oldest[open.of] = std::min(oldest[open.of], open.start_ns);
    ++at;
  }
  for (auto at = early_.begin(); at != early_.end();) {
    at = fills_ - at->second >= kEarlyFills ? early_.erase(at) : std::next(at);
  }
  ++fills_;
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    Class& c = classes_[i];
    if (classes->size() <= c.id.index()) classes->resize(c.id.index() + 1);
    ClassSample& out = (*classes)[c.id.index()];
    std::swap(out, c.sample);  // and keeps what memory the other has
    out.oldest_open_ns = any[i] ? std::max<std::int64_t>(now_unix_ns - oldest[i], 1) : 0;
    c.sample.count = c.sample.over_target = 0;
    c.sample.oldest_open_ns = 0;
    c.sample.latency.Clear();
  }
}

SEER_END_NAMESPACE
