// Flow: training -> [ModelInputs] -> a section of a Checkpoint -> Predictor
//
// What a model has to know besides its weights: how ticks become its inputs, and what its outputs
// stand for. Stored in a section of the checkpoint, as text, one fact a line.
//
//   checkpoint.sections[seer::ModelInputs::kSection] = seer::EncodeModelInputs(inputs);
//   auto inputs = seer::DecodeModelInputs(loaded->sections[seer::ModelInputs::kSection]);
//
// The text:
//
//   seer-model 1
//   period_ns 100000000
//   initiator_horizon_ns 300000000
//   horizon_ns 100000000          one line each, growing
//   class checkout                request classes, in the order of the hazards
//   input depth(queued)           with the scale of services that are not listed:
//   common 0.7 0.25               middle and spread, one line for each input, in their order
//   service cart                  services that the normaliser knows, each with a line for each
//   scale 0.7 0.25                input
//
// Outputs: one for each service in the model's order, then kNoViolation, then kLoad (more requests
// than the application was built for); then the hazards.
//
// Threads: plain values. Cost: not for the hot path. Any bytes may be decoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/tick.h"
#include "seer/window/window_builder.h"

SEER_BEGIN_NAMESPACE

struct ModelInputs {
  static constexpr char kSection[] = "seer.inputs";
  // Outputs behind those of the N services.
  static constexpr std::size_t kNoViolation = 0, kLoad = 1, kExtras = 2;

  TickPeriod period;
  WindowInputs inputs;
  Normalizer normalizer;                            // of these inputs; none listed: only compressed
  std::vector<std::int64_t> horizons_ns;            // of the hazards, growing; at most kMaxHorizons
  std::int64_t initiator_horizon_ns = 300'000'000;  // services: initiates a violation within it
  std::vector<std::string> classes;                 // of the hazards

  // InvalidArgument names the field.
  [[nodiscard]] absl::Status Validate() const;

  friend bool operator==(const ModelInputs& a, const ModelInputs& b) {
    return a.period == b.period && a.inputs == b.inputs && a.normalizer == b.normalizer &&
           a.horizons_ns == b.horizons_ns && a.initiator_horizon_ns == b.initiator_horizon_ns &&
           a.classes == b.classes;
  }
};

// The inputs are valid.
std::string EncodeModelInputs(const ModelInputs& inputs);
// InvalidArgument names the line. What is returned is valid.
absl::StatusOr<ModelInputs> DecodeModelInputs(std::string_view text);

SEER_END_NAMESPACE
