#include "seer/nn/model_config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"
#include "seer/nn/network.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr std::uint32_t kMaxTicks = 1024, kMaxInputs = 256, kMaxServices = 100000;
constexpr std::uint32_t kMaxUnits = 4096, kMaxKernel = 255, kMaxBatch = 65536, kMaxExtras = 64;
constexpr std::uint32_t kMaxClasses = 1024, kMaxHorizons = 64;
constexpr std::size_t kMaxBlocks = 1024, kMaxLayers = 64, kMaxName = 63, kMaxText = 65536;

constexpr std::string_view kLayerNames[] = {"conv", "pool",      "dense",
                                            "lstm", "last_tick", "dropout"};
constexpr std::string_view kActivationNames[] = {"none", "relu", "sigmoid", "tanh"};
constexpr std::string_view kHeadNames[] = {"dense", "shared"};
constexpr std::string_view kOutputNames[] = {"softmax", "sigmoid"};

template <typename Enum, std::size_t n>
bool FromName(const std::string_view (&names)[n], std::string_view name, Enum* value) {
  for (std::size_t i = 0; i < n; ++i) {
    if (names[i] == name) {
      *value = static_cast<Enum>(i);
      return true;
    }
  }
  return false;
}
template <typename Enum, std::size_t n>
std::string_view NameOf(const std::string_view (&names)[n], Enum value) {
  const auto i = static_cast<std::size_t>(value);
  return i < n ? names[i] : "?";
}
template <std::size_t n>
std::string OneOf(const std::string_view (&names)[n]) {
  std::string text;
  for (std::string_view name : names) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", internal::ToAbsl(name));
  }
  return text;
}

template <typename Number>
bool ToNumber(std::string_view text, Number* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

std::string Shortest(float value) {
  char text[64];
  const auto result = std::to_chars(text, text + sizeof(text), value);
  return std::string(text, result.ptr);
}

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  constexpr std::string_view kSpace = " \t\r";
  for (std::size_t at = 0; at < line.size();) {
    at = line.find_first_not_of(kSpace, at);
    if (at == line.npos) break;
    const std::size_t end = std::min(line.find_first_of(kSpace, at), line.size());
    words.push_back(line.substr(at, end - at));
    at = end;
  }
  return words;
}

// One line of the text: its words, and errors that say where they are.
class Line {
 public:
  Line(std::size_t number, std::vector<std::string_view> words)
      : number_(number), words_(std::move(words)), used_(words_.size(), false) {
    if (!words_.empty()) used_[0] = true;
  }
  std::string_view key() const { return words_[0]; }
  std::size_t size() const { return words_.size(); }
  std::string_view operator[](std::size_t i) {
    used_[i] = true;
    return words_[i];
  }

  absl::Status Error(std::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat("model configuration, line ", number_, ": ", internal::ToAbsl(what)));
  }

  // The value of "name=value"; empty if there is none.
  std::string_view Option(std::string_view name) {
    for (std::size_t i = 1; i < words_.size(); ++i) {
      if (!used_[i] && words_[i].size() > name.size() && words_[i][name.size()] == '=' &&
          words_[i].substr(0, name.size()) == name) {
        used_[i] = true;
        return words_[i].substr(name.size() + 1);
      }
    }
    return {};
  }
  template <typename Number>
  absl::Status Option(std::string_view name, Number* value) {
    const std::string_view text = Option(name);
    if (!text.empty() && !ToNumber(text, value)) {
      return Error(absl::StrCat(internal::ToAbsl(name), "=", internal::ToAbsl(text),
                                " is not a number: write for example ", internal::ToAbsl(name),
                                "=1"));
    }
    return absl::OkStatus();
  }
  template <typename Enum, std::size_t n>
  absl::Status Option(std::string_view name, const std::string_view (&names)[n], Enum* value) {
    const std::string_view text = Option(name);
    if (!text.empty() && !FromName(names, text, value)) {
      return Error(absl::StrCat(internal::ToAbsl(name), "=", internal::ToAbsl(text),
                                " is unknown: one of ", OneOf(names)));
    }
    return absl::OkStatus();
  }
  template <typename Number>
  absl::Status OnlyNumber(Number* value) {
    if (words_.size() != 2 || !ToNumber((*this)[1], value)) {
      return Error(absl::StrCat("'", internal::ToAbsl(key()), "' needs one number behind it"));
    }
    return absl::OkStatus();
  }
  absl::Status AllUsed() const {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      if (!used_[i]) {
        return Error(absl::StrCat("'", internal::ToAbsl(words_[i]), "' is unknown in '",
                                  internal::ToAbsl(words_[0]), "': remove it"));
      }
    }
    return absl::OkStatus();
  }

 private:
  std::size_t number_;
  std::vector<std::string_view> words_;
  std::vector<bool> used_;
};

absl::Status ParseLayer(Line& line, LayerKind kind, LayerConfig* layer) {
  layer->kind = kind;
  if (kind == LayerKind::kConv || kind == LayerKind::kDense || kind == LayerKind::kLstm) {
    SEER_RETURN_IF_ERROR(line.Option("units", &layer->units));
  }
  if (kind == LayerKind::kConv) {
    SEER_RETURN_IF_ERROR(line.Option("kernel", &layer->kernel));
    SEER_RETURN_IF_ERROR(line.Option("stride", &layer->stride));
    SEER_RETURN_IF_ERROR(line.Option("padding", &layer->padding));
  }
  if (kind == LayerKind::kConv || kind == LayerKind::kDense) {
    SEER_RETURN_IF_ERROR(line.Option("activation", kActivationNames, &layer->activation));
  }
  if (kind == LayerKind::kDropout) SEER_RETURN_IF_ERROR(line.Option("rate", &layer->rate));
  return absl::OkStatus();
}

void AppendLayer(std::string_view prefix, const LayerConfig& layer, std::string* text) {
  absl::StrAppend(text, internal::ToAbsl(prefix),
                  internal::ToAbsl(NameOf(kLayerNames, layer.kind)));
  switch (layer.kind) {
    case LayerKind::kConv:
      absl::StrAppend(text, " units=", layer.units, " kernel=", layer.kernel,
                      " stride=", layer.stride, " padding=", layer.padding);
      break;
    case LayerKind::kDense:
    case LayerKind::kLstm:
      absl::StrAppend(text, " units=", layer.units);
      break;
    case LayerKind::kDropout:
      absl::StrAppend(text, " rate=", Shortest(layer.rate));
      break;
    case LayerKind::kPool:
    case LayerKind::kLastTick:
      break;
  }
  if (layer.kind == LayerKind::kConv || layer.kind == LayerKind::kDense) {
    absl::StrAppend(text,
                    " activation=", internal::ToAbsl(NameOf(kActivationNames, layer.activation)));
  }
  *text += "\n";
}

absl::Status InRange(std::string_view what, std::uint64_t value, std::uint64_t low,
                     std::uint64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("model configuration: ", internal::ToAbsl(what),
                                                 " is ", value, ": give ", low, " to ", high));
}
absl::Status Wrong(std::string_view part, std::size_t i, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("model configuration: ", internal::ToAbsl(part),
                                                 " layer ", i, ": ", internal::ToAbsl(what)));
}

// What an unused field holds would be lost in the text: it has to hold the default.
LayerConfig OnlyUsedFields(const LayerConfig& layer) {
  LayerConfig used;
  used.kind = layer.kind;
  if (layer.kind == LayerKind::kConv || layer.kind == LayerKind::kDense ||
      layer.kind == LayerKind::kLstm) {
    used.units = layer.units;
  }
  if (layer.kind == LayerKind::kConv) {
    used.kernel = layer.kernel;
    used.stride = layer.stride;
    used.padding = layer.padding;
  }
  if (layer.kind == LayerKind::kConv || layer.kind == LayerKind::kDense) {
    used.activation = layer.activation;
  }
  if (layer.kind == LayerKind::kDropout) used.rate = layer.rate;
  return used;
}

absl::Status CheckLayer(std::string_view part, std::size_t i, const LayerConfig& layer) {
  const std::string where = absl::StrCat(internal::ToAbsl(part), " layer ", i, " ");
  if (static_cast<std::size_t>(layer.kind) >= std::size(kLayerNames) ||
      static_cast<std::size_t>(layer.activation) >= std::size(kActivationNames)) {
    return Wrong(part, i, "an unknown kind or activation: use the enumerators");
  }
  if (layer.kind == LayerKind::kDropout && !(layer.rate >= 0 && layer.rate < 1)) {
    return Wrong(part, i, "rate of dropout is outside [0, 1): give for example 0.1");
  }
  if (layer != OnlyUsedFields(layer)) {
    return Wrong(part, i, "a field is set that this kind does not have: leave it at its default");
  }
  if (layer.kind == LayerKind::kConv || layer.kind == LayerKind::kDense ||
      layer.kind == LayerKind::kLstm) {
    SEER_RETURN_IF_ERROR(InRange(where + "units", layer.units, 1, kMaxUnits));
  }
  if (layer.kind == LayerKind::kConv) {
    SEER_RETURN_IF_ERROR(InRange(where + "kernel", layer.kernel, 1, kMaxKernel));
    SEER_RETURN_IF_ERROR(InRange(where + "stride", layer.stride, 1, kMaxKernel));
    SEER_RETURN_IF_ERROR(InRange(where + "padding", layer.padding, 0, layer.kernel - 1));
  }
  return absl::OkStatus();
}

absl::Status CheckTrunk(const ModelConfig& config) {
  bool only_convolutions = true, last_tick = false;
  for (std::size_t i = 0; i < config.trunk.size(); ++i) {
    const LayerConfig& layer = config.trunk[i];
    SEER_RETURN_IF_ERROR(CheckLayer("trunk", i, layer));
    switch (layer.kind) {
      case LayerKind::kConv:
        if (!only_convolutions) return Wrong("trunk", i, "conv behind another kind: move it ahead");
        continue;
      case LayerKind::kPool:
        if (!only_convolutions)
          return Wrong("trunk", i, "pool needs positions: put it behind conv");
        break;
      case LayerKind::kLstm:
        if (last_tick) return Wrong("trunk", i, "lstm behind last_tick: move it ahead");
        break;
      case LayerKind::kLastTick:
        if (last_tick) return Wrong("trunk", i, "a second last_tick: remove it");
        last_tick = true;
        break;
      case LayerKind::kDense:
      case LayerKind::kDropout:
        break;
    }
    only_convolutions = false;
  }
  if (!config.trunk.empty() && !last_tick) {
    return absl::InvalidArgumentError(
        "model configuration: the trunk has no last_tick: put it behind the last lstm");
  }
  return absl::OkStatus();
}

absl::Status CheckLocal(const ModelConfig& config) {
  for (std::size_t i = 0; i < config.local.size(); ++i) {
    const LayerConfig& layer = config.local[i];
    SEER_RETURN_IF_ERROR(CheckLayer("local", i, layer));
    if (layer.kind != LayerKind::kConv) return Wrong("local", i, "only conv can stand here");
    if (layer.stride != 1 || layer.kernel != 2 * layer.padding + 1) {
      return Wrong("local", i, "has to keep the positions: stride=1, kernel = 2 * padding + 1");
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool ModelConfig::operator==(const ModelConfig& o) const {
  return name == o.name && ticks == o.ticks && inputs == o.inputs && blocks == o.blocks &&
         batch == o.batch && trunk == o.trunk && local == o.local && head == o.head &&
         head_hidden == o.head_hidden && output == o.output && extras == o.extras &&
         hazard_classes == o.hazard_classes && hazard_horizons == o.hazard_horizons;
}

absl::Status ModelConfig::Validate() const {
  if (name.size() > kMaxName ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") !=
          name.npos) {
    return absl::InvalidArgumentError(absl::StrCat("model configuration: name is not 0 to ",
                                                   kMaxName, " letters, digits, '_', '-' or '.'"));
  }
  SEER_RETURN_IF_ERROR(InRange("ticks", ticks, 1, kMaxTicks));
  SEER_RETURN_IF_ERROR(InRange("inputs", inputs, 1, kMaxInputs));
  SEER_RETURN_IF_ERROR(InRange("batch", batch, 1, kMaxBatch));
  SEER_RETURN_IF_ERROR(InRange("the number of blocks of services", blocks.size(), 1, kMaxBlocks));
  for (std::uint32_t block : blocks) {
    SEER_RETURN_IF_ERROR(InRange("services of a block", block, 1, kMaxServices));
  }
  SEER_RETURN_IF_ERROR(InRange("services", services(), 1, kMaxServices));
  SEER_RETURN_IF_ERROR(InRange("the number of trunk layers", trunk.size(), 0, kMaxLayers));
  SEER_RETURN_IF_ERROR(InRange("the number of local layers", local.size(), 0, kMaxLayers));
  SEER_RETURN_IF_ERROR(InRange("extras", extras, 0, kMaxExtras));
  SEER_RETURN_IF_ERROR(InRange("hidden of the head", head_hidden, 0, kMaxUnits));
  if (static_cast<std::size_t>(head) >= std::size(kHeadNames) ||
      static_cast<std::size_t>(output) >= std::size(kOutputNames)) {
    return absl::InvalidArgumentError("model configuration: unknown head: use the enumerators");
  }
  SEER_RETURN_IF_ERROR(CheckTrunk(*this));
  SEER_RETURN_IF_ERROR(CheckLocal(*this));
  if (head == HeadKind::kDense && (trunk.empty() || !local.empty() || head_hidden != 0)) {
    return absl::InvalidArgumentError(
        "model configuration: a dense head needs trunk layers, and neither local layers nor "
        "hidden: "
        "add last_tick at least, or use kind=shared");
  }
  if (head == HeadKind::kShared && local.empty()) {
    return absl::InvalidArgumentError(
        "model configuration: a shared head needs local layers: add a line 'local conv ...'");
  }
  if ((hazard_classes == 0) != (hazard_horizons == 0)) {
    return absl::InvalidArgumentError(
        "model configuration: hazard needs both classes and horizons: give both, or none");
  }
  if (hazard_classes != 0) {
    SEER_RETURN_IF_ERROR(InRange("classes of hazard", hazard_classes, 1, kMaxClasses));
    SEER_RETURN_IF_ERROR(InRange("horizons of hazard", hazard_horizons, 1, kMaxHorizons));
    if (trunk.empty()) {
      return absl::InvalidArgumentError(
          "model configuration: hazard needs trunk layers: add them, or remove hazard");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ModelConfig> ModelConfig::Parse(std::string_view text) {
  if (text.size() > kMaxText) {
    return absl::InvalidArgumentError(absl::StrCat("model configuration: longer than ", kMaxText,
                                                   " bytes: is it the right file?"));
  }
  ModelConfig config;
  std::vector<std::string_view> seen;
  std::size_t number = 0;
  bool version = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view rest = text.substr(at, end - at);
    rest = rest.substr(0, rest.find('#'));
    at = end + 1;
    ++number;
    Line line(number, Words(rest));
    if (line.size() == 0) continue;
    if (!version) {
      if (line.size() != 2 || line.key() != "seer-nn" || line[1] != "1") {
        return line.Error("not a model configuration of this version: begin with 'seer-nn 1'");
      }
      version = true;
      continue;
    }
    const std::string_view key = line.key();
    LayerKind kind;
    if (key == "local" && line.size() > 1) {
      LayerConfig layer;
      if (!FromName(kLayerNames, line[1], &kind)) return line.Error("only 'local conv' is known");
      SEER_RETURN_IF_ERROR(ParseLayer(line, kind, &layer));
      config.local.push_back(layer);
    } else if (FromName(kLayerNames, key, &kind)) {
      LayerConfig layer;
      SEER_RETURN_IF_ERROR(ParseLayer(line, kind, &layer));
      config.trunk.push_back(layer);
    } else {
      if (std::find(seen.begin(), seen.end(), key) != seen.end()) {
        return line.Error(absl::StrCat("a second '", internal::ToAbsl(key), "': remove one"));
      }
      seen.push_back(key);
      if (key == "name") {
        if (line.size() != 2) return line.Error("'name' needs one word behind it");
        config.name = std::string(line[1]);
      } else if (key == "ticks") {
        SEER_RETURN_IF_ERROR(line.OnlyNumber(&config.ticks));
      } else if (key == "inputs") {
        SEER_RETURN_IF_ERROR(line.OnlyNumber(&config.inputs));
      } else if (key == "batch") {
        SEER_RETURN_IF_ERROR(line.OnlyNumber(&config.batch));
      } else if (key == "services") {
        for (std::size_t i = 1; i < line.size(); ++i) {
          std::uint32_t block = 0;
          if (!ToNumber(line[i], &block)) {
            return line.Error("'services' needs numbers behind it, one for each block");
          }
          config.blocks.push_back(block);
        }
      } else if (key == "head") {
        SEER_RETURN_IF_ERROR(line.Option("kind", kHeadNames, &config.head));
        SEER_RETURN_IF_ERROR(line.Option("output", kOutputNames, &config.output));
        SEER_RETURN_IF_ERROR(line.Option("extras", &config.extras));
        SEER_RETURN_IF_ERROR(line.Option("hidden", &config.head_hidden));
      } else if (key == "hazard") {
        SEER_RETURN_IF_ERROR(line.Option("classes", &config.hazard_classes));
        SEER_RETURN_IF_ERROR(line.Option("horizons", &config.hazard_horizons));
      } else {
        return line.Error(
            absl::StrCat("'", internal::ToAbsl(key),
                         "' is unknown: one of name, services, ticks, inputs, batch, ",
                         OneOf(kLayerNames), ", local, head, hazard"));
      }
    }
    SEER_RETURN_IF_ERROR(line.AllUsed());
  }
  if (!version) {
    return absl::InvalidArgumentError("model configuration: empty: begin with 'seer-nn 1'");
  }
  if (config.blocks.empty()) {
    return absl::InvalidArgumentError(
        "model configuration: no 'services': add the line 'services N'");
  }
  // Network::Create also knows whether the positions are enough for each convolution.
  SEER_RETURN_IF_ERROR(Network::Create(config).status());
  return config;
}

std::string ModelConfig::ToText() const {
  std::string text = "seer-nn 1\n";
  if (!name.empty()) absl::StrAppend(&text, "name ", name, "\n");
  text += "services";
  for (std::uint32_t block : blocks) absl::StrAppend(&text, " ", block);
  absl::StrAppend(&text, "\nticks ", ticks, "\ninputs ", inputs, "\nbatch ", batch, "\n");
  for (const LayerConfig& layer : trunk) AppendLayer("", layer, &text);
  for (const LayerConfig& layer : local) AppendLayer("local ", layer, &text);
  absl::StrAppend(&text, "head kind=", internal::ToAbsl(NameOf(kHeadNames, head)),
                  " output=", internal::ToAbsl(NameOf(kOutputNames, output)), " extras=", extras);
  if (head_hidden != 0) absl::StrAppend(&text, " hidden=", head_hidden);
  text += "\n";
  if (hazard_classes != 0) {
    absl::StrAppend(&text, "hazard classes=", hazard_classes, " horizons=", hazard_horizons, "\n");
  }
  return text;
}

SEER_END_NAMESPACE
