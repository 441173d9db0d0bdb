// Flow: (Network, weights) -> [EncodeOnnx] -> ONNX bytes -> other inference engines
//
// A trained network as an ONNX model, for those who want to run it elsewhere or look at it with the
// tools that there are. seer itself never reads one.
//
//   auto onnx = seer::EncodeOnnx(network, checkpoint.parameters);          //
//   absl::StatusOr<string> file.write(onnx->data(), onnx->size());
//
// Input `window`: batch x T x N x C floats, as Window::values. Outputs: `initiators`, batch x
// (N + extras) probabilities, and where the network has them `hazards`, batch x classes x horizons,
// the probabilities that a violation starts within each horizon. The batch may have any size. The
// same as InferenceEngine::Run() with all services live, within the last bits.
//
// Opset 14, operators of the standard domain only. Dropout is left out: it is for training.
//
// Threads: a pure function. Cost: a copy of the weights.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/nn/network.h"

SEER_BEGIN_NAMESPACE

inline constexpr int kOnnxOpset = 14;

// InvalidArgument: `parameters` has another size, or a value that is not finite. ResourceExhausted:
// above 2 GiB, which is more than a protobuf message may have.
absl::StatusOr<std::string> EncodeOnnx(const Network& network, absl::Span<const float> parameters);

SEER_END_NAMESPACE
