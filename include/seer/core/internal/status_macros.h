// Flow: (internal) early return on an error status
//
//   SEER_RETURN_IF_ERROR(CheckName(name));
//   SEER_ASSIGN_OR_RETURN(TickPeriod period, TickPeriod::FromNs(ns));
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"

#define SEER_INTERNAL_CONCAT_(a, b) a##b
#define SEER_INTERNAL_CONCAT(a, b) SEER_INTERNAL_CONCAT_(a, b)

#define SEER_RETURN_IF_ERROR(expression)                         \
  do {                                                           \
    absl::Status seer_internal_status = (expression);            \
    if (!seer_internal_status.ok()) return seer_internal_status; \
  } while (false)

#define SEER_ASSIGN_OR_RETURN(declaration, expression)                                      \
  SEER_INTERNAL_ASSIGN_OR_RETURN(SEER_INTERNAL_CONCAT(seer_result_, __LINE__), declaration, \
                                 expression)
#define SEER_INTERNAL_ASSIGN_OR_RETURN(result, declaration, expression) \
  auto result = (expression);                                           \
  if (!result.ok()) return std::move(result).status();                  \
  declaration = *std::move(result)
