#include "seer/probe/reading.h"

#include <cerrno>

SEER_BEGIN_NAMESPACE

Reason ReasonOfErrno(int error) {
  switch (error) {
    case 0:
      return Reason::kNone;
    case EACCES:
    case EPERM:
      return Reason::kPermission;
    case ENOENT:
    case ENOTDIR:
      return Reason::kNotFound;
    case ENODEV:  // a cgroup that was removed while its file was open
    case ENXIO:
    case ESRCH:  // a process that ended
      return Reason::kVanished;
    case EOPNOTSUPP:
    case ENOSYS:
    case ENOTTY:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
      return Reason::kNotSupported;
    default:
      return Reason::kFailed;
  }
}

Reason ReasonOfStatus(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return Reason::kNone;
    case absl::StatusCode::kPermissionDenied:
      return Reason::kPermission;
    case absl::StatusCode::kUnimplemented:
      return Reason::kNotSupported;
    case absl::StatusCode::kNotFound:
      return Reason::kNotFound;
    default:
      return Reason::kFailed;
  }
}

Missing MissingOf(Reason reason) {
  switch (reason) {
    case Reason::kNone:
      return Missing::kNotMissing;
    case Reason::kNotObserved:
      return Missing::kNoProbe;
    case Reason::kPermission:
      return Missing::kNoPermission;
    case Reason::kNotFound:
    case Reason::kNotSupported:
      return Missing::kNotSupported;
    default:
      return Missing::kFailed;
  }
}

HwSignal ToSignal(const Reading& reading, Scope scope) {
  HwSignal signal;
  signal.scope = scope;
  signal.reason = reading.reason;
  if (reading.ok()) {
    signal.value = static_cast<double>(reading.value);
    signal.quality = Quality::kOk;
  }
  return signal;
}

SEER_END_NAMESPACE
