// Any bytes as every header that names a context. What is accepted is valid, and survives being
// written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "seer/trace/propagation.h"

namespace seer {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckContext(const TraceContext& context) {
  Require(context.valid());
  const auto traceparent = FormatTraceparent(context);
  std::optional<TraceContext> again = ParseTraceparent({traceparent.data(), traceparent.size()});
  Require(again.has_value());
  again->tracestate = context.tracestate;
  Require(*again == context);
  const auto b3 = FormatB3(context);
  again = ParseB3({b3.data(), b3.size()});
  Require(again && again->trace_id == context.trace_id && again->span_id == context.span_id &&
          again->sampled() == context.sampled());
  const auto bytes = ToBytes(context);
  again = FromBytes({bytes.data(), bytes.size()});
  Require(again && again->trace_id == context.trace_id && again->span_id == context.span_id);
  std::vector<std::pair<std::string, std::string>> carrier;
  Inject(context,
         [&](std::string_view name, std::string_view value) { carrier.emplace_back(name, value); });
  Require(Extract(carrier) == context);
}

void CheckTracestate(std::string_view header) {
  const auto state = ParseTracestate(header);
  if (state == nullptr) return;
  Require(!state->empty() && state->size() <= kMaxTracestateBytes);
  const auto again = ParseTracestate(*state);
  Require(again != nullptr && *again == *state);
}

}  // namespace
}  // namespace seer

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace seer;  // NOLINT
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const auto& context :
       {ParseTraceparent(bytes), ParseB3(bytes), ParseUberTraceId(bytes), FromBytes(bytes)}) {
    if (context) CheckContext(*context);
  }
  CheckTracestate(bytes);

  // As a carrier: lines "name:value".
  std::vector<std::pair<std::string_view, std::string_view>> carrier;
  for (std::size_t begin = 0; begin < bytes.size();) {
    const std::string_view line = bytes.substr(begin, bytes.find('\n', begin) - begin);
    begin += line.size() + 1;
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos) {
      carrier.emplace_back(line.substr(0, colon), line.substr(colon + 1));
    }
  }
  const TraceContext context = Extract(carrier);
  if (context.valid()) CheckContext(context);
  return 0;
}
