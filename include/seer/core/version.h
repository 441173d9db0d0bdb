// Flow: (every stage) the library's version, in its one place
//
// CMake reads the three numbers from this file; nothing else repeats them.
// Sources are compatible within one MINOR while MAJOR is 0. The wire format
// and the checkpoint format carry versions of their own.
#pragma once

#define SEER_VERSION_MAJOR 0
#define SEER_VERSION_MINOR 1
#define SEER_VERSION_PATCH 0

// Everything public lives in `seer`, inside an inline namespace that changes with each incompatible
// version: headers of one version cannot be linked against a library of another by accident.
#define SEER_BEGIN_NAMESPACE \
  namespace seer {           \
  inline namespace v0 {
#define SEER_END_NAMESPACE \
  }                        \
  }
