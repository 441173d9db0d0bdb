#include "benchmarks/nn/torch_peer.h"

#include <torch/torch.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <tuple>

namespace seer::bench {
namespace {

// Both libraries choose their kernels while they are loaded: the program starts itself again.
[[maybe_unused]] const int tuned = [] {
  if (__builtin_cpu_supports("avx512f") && std::getenv("OPENBLAS_CORETYPE") == nullptr) {
    setenv("OPENBLAS_CORETYPE", "SkylakeX", 1);
    setenv("ATEN_CPU_CAPABILITY", "avx512", 1);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    setenv("OMP_NUM_THREADS", "1", 1);
    std::ifstream file("/proc/self/cmdline", std::ios::binary);
    static std::string all((std::istreambuf_iterator<char>(file)),
                           std::istreambuf_iterator<char>());
    std::vector<char*> arguments;
    for (std::size_t at = 0; at < all.size(); at += std::string(&all[at]).size() + 1) {
      arguments.push_back(&all[at]);
    }
    arguments.push_back(nullptr);
    execv("/proc/self/exe", arguments.data());  // where that fails: as it is
  }
  return 0;
}();

}  // namespace

struct TorchPeer::Impl {
  explicit Impl(const Network& shape) : network(shape) {}

  const Network network;
  std::map<std::string, torch::Tensor> p;  // as torch wants them
  torch::Tensor zero_bias = torch::zeros({256});
  std::unique_ptr<torch::optim::Adam> adam;
  std::vector<torch::Tensor> carried;  // of Tick(): hidden values and cells of each LSTM
  std::int64_t ticks, services;

  torch::Tensor Convolve(torch::Tensor y, const std::vector<Stage>& stages,
                         const char* name) const {
    for (std::size_t i = 0; i < stages.size(); ++i) {
      const std::string at = name + std::to_string(i);
      if (stages[i].layer.kind == LayerKind::kPool) return torch::cat({y.mean(2), y.amax(2)}, 1);
      if (stages[i].layer.kind != LayerKind::kConv) break;
      y = torch::relu(torch::conv1d(y, p.at(at + ".weight"), p.at(at + ".bias"),
                                    stages[i].layer.stride, stages[i].layer.padding));
    }
    return y;
  }
  // y: ticks x batch x features. The state of each LSTM, zeros without, is moved on.
  torch::Tensor Recur(torch::Tensor y, std::vector<torch::Tensor>* state) const {
    std::size_t lstm = 0;
    for (std::size_t i = 0; i < network.trunk().size(); ++i) {
      const LayerConfig& layer = network.trunk()[i].layer;
      if (layer.kind != LayerKind::kLstm) continue;
      const std::string at = "trunk." + std::to_string(i);
      const torch::Tensor zeros =
          torch::zeros({1, y.size(1), static_cast<std::int64_t>(layer.units)});
      torch::Tensor h = state == nullptr ? zeros : (*state)[2 * lstm];
      torch::Tensor c = state == nullptr ? zeros : (*state)[2 * lstm + 1];
      const torch::Tensor no_bias = zero_bias.slice(0, 0, 4 * layer.units);
      std::tie(y, h, c) = torch::lstm(
          y, {h, c}, {p.at(at + ".weight"), p.at(at + ".recurrent"), p.at(at + ".bias"), no_bias},
          true, 1, 0.0, false, false, false);
      if (state != nullptr) {
        (*state)[2 * lstm] = h;
        (*state)[2 * lstm + 1] = c;
      }
      ++lstm;
    }
    return y[-1];
  }
  // context: batch x features. x: of one window, where the head is shared.
  torch::Tensor Head(const torch::Tensor& context, const torch::Tensor& x) const {
    if (network.config().head == HeadKind::kDense) {
      return torch::addmm(p.at("head.bias"), context, p.at("head.weight"));
    }
    const torch::Tensor local =
        Convolve(x.reshape({1, ticks, services}), network.local(), "local.")[0].t();
    const torch::Tensor base = torch::addmm(p.at("head.bias"), context, p.at("head.context"));
    const torch::Tensor hidden = torch::tanh(torch::addmm(base, local, p.at("head.weight")));
    const torch::Tensor each = torch::addmm(p.at("head.out_bias"), hidden, p.at("head.out"));
    const torch::Tensor extras =
        torch::addmm(p.at("head.extras_bias"), context, p.at("head.extras"));
    return torch::cat({each.t(), extras}, 1);
  }
  torch::Tensor Logits(const torch::Tensor& x, std::int64_t batch) const {
    torch::Tensor y = Convolve(x.reshape({batch * ticks, 1, services}), network.trunk(), "trunk.");
    y = y.reshape({batch, ticks, -1}).transpose(0, 1).contiguous();
    return Head(Recur(y, nullptr), x);
  }
};

TorchPeer::TorchPeer(const Network& network, const std::vector<float>& weights, bool training)
    : impl_(std::make_unique<Impl>(network)) {
  torch::set_num_threads(1);
  impl_->ticks = network.config().ticks;
  impl_->services = static_cast<std::int64_t>(network.services());
  // Channels first, as torch likes it: the weights of the layer behind convolutions are ordered to
  // match.
  std::map<std::string, std::int64_t> channels_before;
  for (std::size_t i = 1; i < network.trunk().size(); ++i) {
    if (network.trunk()[i - 1].layer.kind != LayerKind::kConv) continue;
    channels_before["trunk." + std::to_string(i) + ".weight"] =
        static_cast<std::int64_t>(network.trunk()[i - 1].out_channels);
  }
  std::map<std::string, const Stage*> convolutions;
  for (const bool local : {false, true}) {
    const std::vector<Stage>& stages = local ? network.local() : network.trunk();
    for (std::size_t i = 0; i < stages.size(); ++i) {
      if (stages[i].layer.kind != LayerKind::kConv) continue;
      convolutions[(local ? "local." : "trunk.") + std::to_string(i) + ".weight"] = &stages[i];
    }
  }
  for (const Tensor& tensor : network.tensors()) {
    const auto rows = static_cast<std::int64_t>(tensor.rows);
    const auto columns = static_cast<std::int64_t>(tensor.columns);
    torch::Tensor value = torch::from_blob(const_cast<float*>(weights.data()) + tensor.offset,
                                           {rows, columns}, torch::kFloat);
    const bool trunk = tensor.name.rfind("trunk.", 0) == 0;
    if (convolutions.count(tensor.name) > 0) {
      const auto kernel = static_cast<std::int64_t>(convolutions[tensor.name]->layer.kernel);
      value = value.reshape({kernel, rows / kernel, columns}).permute({2, 1, 0});
    } else if (tensor.bias) {
      value = value.reshape({columns});
    } else if (channels_before.count(tensor.name) > 0) {
      const std::int64_t channels = channels_before[tensor.name];
      value = value.reshape({rows / channels, channels, columns})
                  .transpose(0, 1)
                  .reshape({rows, columns})
                  .t();
    } else if (trunk) {
      value = value.t();
    }
    impl_->p[tensor.name] = value.contiguous().clone();
  }
  if (!training) return;
  std::vector<torch::Tensor> all;
  for (auto& [name, value] : impl_->p) {
    value.set_requires_grad(true);
    all.push_back(value);
  }
  impl_->adam = std::make_unique<torch::optim::Adam>(all, torch::optim::AdamOptions(1e-3));
}
TorchPeer::~TorchPeer() = default;

void TorchPeer::Window(const float* inputs, float* outputs) {
  const c10::InferenceMode guard;
  const torch::Tensor x = torch::from_blob(const_cast<float*>(inputs),
                                           {1, impl_->ticks, impl_->services}, torch::kFloat);
  const torch::Tensor out = torch::softmax(impl_->Logits(x, 1), 1);
  std::copy_n(out.data_ptr<float>(), out.numel(), outputs);
}

void TorchPeer::Tick(const float* inputs, float* outputs) {
  const c10::InferenceMode guard;
  Impl& m = *impl_;
  for (const Stage& stage : m.network.trunk()) {
    if (m.carried.size() == 4 || stage.layer.kind != LayerKind::kLstm) continue;
    const auto units = static_cast<std::int64_t>(stage.layer.units);
    m.carried.insert(m.carried.end(), 2, torch::zeros({1, 1, units}));
  }
  torch::Tensor y = torch::from_blob(const_cast<float*>(inputs), {1, 1, m.services}, torch::kFloat);
  y = m.Convolve(y, m.network.trunk(), "trunk.").reshape({1, 1, -1});
  const torch::Tensor out = torch::softmax(m.Head(m.Recur(y, &m.carried), y), 1);
  std::copy_n(out.data_ptr<float>(), out.numel(), outputs);
}

double TorchPeer::Train(const std::vector<float>& inputs, const std::vector<std::int32_t>& truth) {
  const auto batch = static_cast<std::int64_t>(truth.size());
  const torch::Tensor x = torch::from_blob(const_cast<float*>(inputs.data()),
                                           {batch, impl_->ticks, impl_->services}, torch::kFloat);
  const torch::Tensor y =
      torch::from_blob(const_cast<std::int32_t*>(truth.data()), {batch}, torch::kInt)
          .to(torch::kLong);
  impl_->adam->zero_grad();
  const torch::Tensor loss = torch::nn::functional::cross_entropy(impl_->Logits(x, batch), y);
  loss.backward();
  impl_->adam->step();
  return loss.item<double>();
}

}  // namespace seer::bench
