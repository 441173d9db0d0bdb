#include "seer/queue/registry.h"

#include "queue/registry_state.h"
#include "seer/core/internal/mutex.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE

namespace {

struct GlobalRegistry {
  internal::Mutex mutex;
  QueueRegistry* registry ABSL_GUARDED_BY(mutex) = nullptr;
  RegistryOptions options ABSL_GUARDED_BY(mutex);
};
GlobalRegistry& GlobalOne() {
  static GlobalRegistry* const global = new GlobalRegistry;  // outlives every static destructor
  return *global;
}

}  // namespace

absl::StatusOr<std::unique_ptr<QueueRegistry>> QueueRegistry::Create(
    const RegistryOptions& options) {
  SEER_ASSIGN_OR_RETURN(const internal::RegistryKey key, internal::RegistryState::Open(options));
  return std::unique_ptr<QueueRegistry>(new QueueRegistry(key));
}

QueueRegistry& QueueRegistry::Global() {
  GlobalRegistry& global = GlobalOne();
  internal::MutexLock lock(&global.mutex);
  if (global.registry == nullptr) {
    absl::StatusOr<std::unique_ptr<QueueRegistry>> made = Create(global.options);
    // Too many registries, or no memory at all: one whose handles count nowhere.
    global.registry = made.ok() ? made->release() : new QueueRegistry(internal::RegistryKey());
  }
  return *global.registry;
}

absl::Status QueueRegistry::SetGlobalOptions(const RegistryOptions& options) {
  GlobalRegistry& global = GlobalOne();
  internal::MutexLock lock(&global.mutex);
  if (global.registry != nullptr) {
    return absl::FailedPreconditionError(
        "the global registry is in use already; set its options before the first Global()");
  }
  global.options = options;
  return absl::OkStatus();
}

QueueRegistry::~QueueRegistry() { internal::RegistryState::Of(key_).Close(key_); }

absl::StatusOr<internal::Place> QueueRegistry::Add(std::string_view service,
                                                   std::string_view callee, std::uint8_t channel,
                                                   std::string_view name, bool timed) {
  return internal::RegistryState::Of(key_).Add(key_, service, callee, channel, name, timed);
}

absl::StatusOr<Queue> QueueRegistry::AddQueue(std::string_view service, Channel channel,
                                              std::string_view name) {
  SEER_ASSIGN_OR_RETURN(const internal::Place place,
                        Add(service, {}, static_cast<std::uint8_t>(channel), name, false));
  return Queue(place);
}

absl::StatusOr<TimedQueue> QueueRegistry::AddTimedQueue(std::string_view service, Channel channel,
                                                        std::string_view name) {
  SEER_ASSIGN_OR_RETURN(const internal::Place place,
                        Add(service, {}, static_cast<std::uint8_t>(channel), name, true));
  return TimedQueue(place);
}

absl::StatusOr<Queue> QueueRegistry::AddOutbound(std::string_view caller, std::string_view callee) {
  SEER_ASSIGN_OR_RETURN(const internal::Place place,
                        Add(caller, callee, SEER_CHANNEL_OUTBOUND, {}, false));
  return Queue(place);
}

absl::Status QueueRegistry::Retire(Queue queue) { return Retire(queue.place_); }
absl::Status QueueRegistry::Retire(TimedQueue queue) { return Retire(queue.place_); }
absl::Status QueueRegistry::Retire(internal::Place place) {
  if (!(place.registry() == key_)) return absl::NotFoundError("queue: is not of this registry");
  return internal::RegistryState::Of(key_).Retire(place);
}

absl::Status QueueRegistry::status() const {
  return internal::RegistryState::Of(key_).status(key_);
}
std::string QueueRegistry::path() const { return internal::RegistryState::Of(key_).path(key_); }
absl::Span<const char> QueueRegistry::segment() const {
  return internal::RegistryState::Of(key_).segment(key_);
}

SEER_END_NAMESPACE
