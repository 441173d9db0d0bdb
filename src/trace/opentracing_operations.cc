#include "trace/opentracing_operations.h"

#include <functional>
#include <utility>

#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

constexpr std::size_t kMaxService = 63;
constexpr std::size_t kMaxMethod = 124;
constexpr const char* kOther = "(other)";

std::uint64_t HashOf(std::string_view name, OperationKind kind, std::string_view peer) {
  const std::hash<std::string_view> hash;
  std::uint64_t h = hash(name) ^ (hash(peer) * 0x9e3779b97f4a7c15u);
  h = (h ^ static_cast<std::uint64_t>(kind)) * 0xbf58476d1ce4e5b9u;
  return h ^ (h >> 32);
}

std::size_t TableFor(std::size_t max) {
  std::size_t size = 4;
  while (size < 2 * max) size *= 2;
  return size;
}

}  // namespace

std::string FittingName(std::string_view name, std::size_t max) {
  std::string fitting(name.substr(0, max));
  if (name.size() > max) {
    // Not in the middle of a UTF-8 character.
    while (!fitting.empty() && (static_cast<unsigned char>(name[fitting.size()]) & 0xc0) == 0x80) {
      fitting.pop_back();
    }
  }
  for (char& c : fitting) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '_';
  }
  return fitting.empty() ? std::string("(unnamed)") : fitting;
}

Operations::Operations(std::string service, std::map<std::string, std::string> callees,
                       std::string client_suffix, std::size_t max, QueueRegistry* queues,
                       SpanRecorder* recorder)
    : service_(std::move(service)),
      callees_(std::move(callees)),
      client_suffix_(std::move(client_suffix)),
      max_(max),
      queues_(queues),
      recorder_(recorder),
      table_(TableFor(max)) {}

absl::Status Operations::Open() {
  other_served_.name = other_called_.name = kOther;
  other_served_.kind = OperationKind::kServer;
  other_called_.kind = OperationKind::kClient;
  SEER_RETURN_IF_ERROR(Resolve(&other_served_));
  return Resolve(&other_called_);
}

absl::Status Operations::Resolve(Operation* operation) const {
  const std::string method = FittingName(operation->name, kMaxMethod);
  if (operation->kind == OperationKind::kServer) {
    SEER_ASSIGN_OR_RETURN(operation->served, recorder_->AddServed(service_, method));
    return absl::OkStatus();
  }
  std::string callee = operation->peer;
  const auto known = callees_.find(operation->name);
  if (known != callees_.end()) callee = known->second;
  if (callee.empty()) {
    callee = operation->name;
    const std::size_t suffix = client_suffix_.size();
    if (suffix > 0 && callee.size() > suffix &&
        callee.compare(callee.size() - suffix, suffix, client_suffix_) == 0) {
      callee.resize(callee.size() - suffix);
    }
  }
  callee = FittingName(callee, kMaxService);
  SEER_ASSIGN_OR_RETURN(operation->outbound, queues_->AddOutbound(service_, callee));
  SEER_ASSIGN_OR_RETURN(operation->called, recorder_->AddCalled(service_, callee, method));
  return absl::OkStatus();
}

const Operation* Operations::Look(std::uint64_t hash, std::string_view name, OperationKind kind,
                                  std::string_view peer) const {
  for (std::size_t i = 0; i < table_.size(); ++i) {  // half of it is free: soon over
    // [T] acquire, pairs with the release in Add(): the entry is whole.
    const Operation* const found =
        table_[(hash + i) % table_.size()].load(std::memory_order_acquire);
    if (found == nullptr) return nullptr;
    if (found->kind == kind && found->name == name && found->peer == peer) return found;
  }
  return nullptr;
}

const Operation* Operations::Find(std::string_view name, OperationKind kind, std::string_view peer,
                                  bool* other) {
  *other = false;
  const std::uint64_t hash = HashOf(name, kind, peer);
  const Operation* found = Look(hash, name, kind, peer);
  // Relaxed: it orders nothing, and only ever becomes true.
  if (found == nullptr && !full_.load(std::memory_order_relaxed)) {
    found = Add(hash, name, kind, peer);
  }
  if (found != nullptr) return found;
  *other = true;
  return kind == OperationKind::kServer ? &other_served_ : &other_called_;
}

const Operation* Operations::Add(std::uint64_t hash, std::string_view name, OperationKind kind,
                                 std::string_view peer) {
  MutexLock lock(&mutex_);
  if (const Operation* const found = Look(hash, name, kind, peer)) return found;
  auto operation = std::make_unique<Operation>();
  operation->name = name;
  operation->kind = kind;
  operation->peer = peer;
  // Whichever table is full: there will be no room later either.
  if (all_.size() == max_ || !Resolve(operation.get()).ok()) {
    full_.store(true, std::memory_order_relaxed);
    return nullptr;
  }
  all_.push_back(std::move(operation));
  const Operation* const added = all_.back().get();
  std::size_t at = hash % table_.size();
  while (table_[at].load(std::memory_order_relaxed) != nullptr) at = (at + 1) % table_.size();
  table_[at].store(added, std::memory_order_release);  // [T]
  return added;
}

}  // namespace internal
SEER_END_NAMESPACE
