#include "seer/predict/tree_model.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "predict/fact_text.h"
#include "predict/tree_features.h"
#include "seer/core/internal/crc32c.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::ToNumber;

constexpr std::string_view kMagic = "seer-trees ";
constexpr std::string_view kFirst = "seer-trees 1\n";
constexpr std::string_view kLast = "checksum ";
constexpr std::size_t kMostBytes = std::size_t{1} << 28;

std::string Hex(std::uint32_t value) {
  std::string text(8, '0');
  for (std::size_t i = 0; i < 8; ++i) text[7 - i] = "0123456789abcdef"[value >> 4 * i & 15];
  return text;
}

absl::Status Failed(const std::string& path) {
  const int error = errno;
  const std::string what = absl::StrCat(path, ": ", std::strerror(error));
  if (error == ENOENT) return absl::NotFoundError(what);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(what);
  return absl::UnavailableError(what);
}

bool WriteAll(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = write(file, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return true;
}

}  // namespace

absl::Status TreeModel::Validate() const {
  const auto error = [](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat("tree model: ", what));
  };
  if (horizons_ns.empty() || horizons_ns.size() > BoostedTrees::kMaxOutputs) {
    return error("horizons_ns: give 1 to 16");
  }
  std::int64_t before = 0;
  for (const std::int64_t horizon : horizons_ns) {
    if (horizon <= before || horizon > 3'600'000'000'000) {
      return error("horizons_ns: each has to be above the one before, and at most an hour");
    }
    before = horizon;
  }
  if (violations.columns() != internal::TreeFeatures::kClassColumns ||
      violations.outputs() != horizons_ns.size()) {
    return error("its trees look at other numbers than this version computes: train it anew");
  }
  if (initiators.size() > 0 && (initiators.columns() != internal::TreeFeatures::kServiceColumns ||
                                initiators.outputs() != 1)) {
    return error(
        "the initiators' trees look at other numbers than this version computes: train "
        "it anew");
  }
  for (const auto& [key, value] : provenance) {
    if (key.empty() || key.find_first_of(" \n") != key.npos || value.find('\n') != value.npos) {
      return error("provenance: keys of one word, values of one line");
    }
  }
  return calibration.Validate();
}

bool IsTreeModel(std::string_view bytes) { return bytes.substr(0, kMagic.size()) == kMagic; }

std::string EncodeTreeModel(const TreeModel& model) {
  std::string text(kFirst);
  absl::StrAppend(&text, "period_ns ", model.period.ns(), "\n");
  absl::StrAppend(&text, "channels ", int{model.inputs.channels.bits()}, "\n");
  absl::StrAppend(&text, "edges ", model.inputs.edges ? 1 : 0, "\n");
  absl::StrAppend(&text, "latency ", model.inputs.latency ? 1 : 0, "\n");
  for (const std::int64_t horizon : model.horizons_ns) {
    absl::StrAppend(&text, "horizon_ns ", horizon, "\n");
  }
  for (const auto& [key, value] : model.provenance) {
    absl::StrAppend(&text, "note ", key, " ", value, "\n");
  }
  const auto section = [&](const char* name, const std::string& bytes) {
    absl::StrAppend(&text, name, " ", bytes.size(), "\n", bytes);
  };
  section("calibration", EncodeModelCalibration(model.calibration));
  section("violations", model.violations.Encode());
  section("initiators", model.initiators.size() > 0 ? model.initiators.Encode() : "");
  absl::StrAppend(&text, "checksum ", Hex(internal::Crc32c(text)), "\n");
  return text;
}

absl::StatusOr<TreeModel> DecodeTreeModel(std::string_view bytes) {
  if (bytes.substr(0, kFirst.size()) != kFirst) {
    return absl::InvalidArgumentError(
        IsTreeModel(bytes) ? "tree model: of another version: train it anew"
                           : "not a tree model: it has to begin with 'seer-trees 1'");
  }
  const std::size_t tail = kLast.size() + 9;
  if (bytes.size() < kFirst.size() + tail ||
      bytes.substr(bytes.size() - tail, kLast.size()) != kLast ||
      bytes.substr(bytes.size() - 9) !=
          Hex(internal::Crc32c(bytes.substr(0, bytes.size() - tail))) + "\n") {
    return absl::DataLossError("tree model: the checksum is wrong: it is not whole, or changed");
  }
  std::string_view rest = bytes.substr(kFirst.size(), bytes.size() - kFirst.size() - tail);
  TreeModel model;
  bool calibrated = false, foresees = false, blames = false;
  for (std::size_t number = 2; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const auto wrong = [&](const char* what) {
      return absl::InvalidArgumentError(absl::StrCat("tree model, fact ", number, ": ", what));
    };
    const std::size_t space = line.find(' ');
    if (space == line.npos) return wrong("a word and a value have to stand here");
    const std::string_view key = line.substr(0, space), value = line.substr(space + 1);
    if (key == "note") {
      const std::size_t split = value.find(' ');
      if (split == value.npos || split == 0) return wrong("a note needs a name and a text");
      model.provenance[std::string(value.substr(0, split))] = std::string(value.substr(split + 1));
      continue;
    }
    std::int64_t numeral = 0;
    if (!ToNumber(value, &numeral) || numeral < 0) return wrong("a number has to stand here");
    if (key == "calibration" || key == "violations" || key == "initiators") {
      if (static_cast<std::uint64_t>(numeral) > rest.size()) return wrong("it is longer than all");
      const std::string_view section = rest.substr(0, static_cast<std::size_t>(numeral));
      rest.remove_prefix(section.size());
      if (key == "calibration") {
        SEER_ASSIGN_OR_RETURN(model.calibration, DecodeModelCalibration(section));
        calibrated = true;
      } else if (key == "violations") {
        SEER_ASSIGN_OR_RETURN(model.violations, BoostedTrees::Decode(section));
        foresees = true;
      } else {
        blames = true;
        if (section.empty()) continue;
        SEER_ASSIGN_OR_RETURN(model.initiators, BoostedTrees::Decode(section));
      }
    } else if (key == "period_ns") {
      SEER_ASSIGN_OR_RETURN(model.period, TickPeriod::FromNs(numeral));
    } else if (key == "channels" && numeral < 1 << kChannels) {
      model.inputs.channels = ChannelMask(static_cast<std::uint8_t>(numeral));
    } else if (key == "edges" && numeral <= 1) {
      model.inputs.edges = numeral != 0;
    } else if (key == "latency" && numeral <= 1) {
      model.inputs.latency = numeral != 0;
    } else if (key == "horizon_ns") {
      if (model.horizons_ns.size() == BoostedTrees::kMaxOutputs) return wrong("too many horizons");
      model.horizons_ns.push_back(numeral);
    } else {
      return wrong("no such word, or no number that it may have");
    }
  }
  if (!calibrated || !foresees || !blames) {
    return absl::InvalidArgumentError(
        "tree model: 'calibration', 'violations' or 'initiators' is missing");
  }
  SEER_RETURN_IF_ERROR(model.Validate());
  return model;
}

absl::Status SaveTreeModel(const TreeModel& model, const std::string& path) {
  SEER_RETURN_IF_ERROR(model.Validate());
  const std::string bytes = EncodeTreeModel(model);
  const std::string temporary = absl::StrCat(path, ".tmp");
  const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return Failed(temporary);
  const bool written = WriteAll(file, bytes) && fsync(file) == 0;
  absl::Status status = written ? absl::OkStatus() : Failed(temporary);
  if (close(file) != 0 && status.ok()) status = Failed(temporary);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) status = Failed(path);
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

bool IsTreeModelFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char begin[16];
  const ssize_t got = read(file, begin, sizeof(begin));
  close(file);
  return got > 0 && IsTreeModel({begin, static_cast<std::size_t>(got)});
}

absl::StatusOr<TreeModel> LoadTreeModel(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return Failed(path);
  std::string bytes;
  char piece[65536];
  absl::Status status;
  while (true) {
    const ssize_t got = read(file, piece, sizeof(piece));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) status = Failed(path);
    if (got <= 0) break;
    bytes.append(piece, static_cast<std::size_t>(got));
    if (bytes.size() > kMostBytes) {
      status = absl::ResourceExhaustedError(
          absl::StrCat(path, ": larger than any tree model: is it one?"));
      break;
    }
  }
  close(file);
  SEER_RETURN_IF_ERROR(status);
  auto model = DecodeTreeModel(bytes);
  if (!model.ok()) {
    return absl::Status(model.status().code(), absl::StrCat(path, ": ", model.status().message()));
  }
  return model;
}

SEER_END_NAMESPACE
