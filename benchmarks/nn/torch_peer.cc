#include "benchmarks/nn/torch_peer.h"

#include <torch/torch.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
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
  std::vector<torch::Tensor> p;  // as torch wants them, in the order of Network::tensors()
  torch::Tensor zero_bias = torch::zeros({256});
  std::unique_ptr<torch::optim::Adam> adam;
  std::vector<torch::Tensor> carried;  // of Tick(): hidden values and cells of each LSTM
  std::int64_t ticks, services;

  torch::Tensor Lstm(const torch::Tensor& x, std::size_t i, std::int64_t batch) const {
    const torch::Tensor state = torch::zeros({1, batch, 64});
    return std::get<0>(torch::lstm(x, {state, state}, {p[i], p[i + 1], p[i + 2], zero_bias}, true,
                                   1, 0.0, false, false, false));
  }
  torch::Tensor Logits(const torch::Tensor& x, std::int64_t batch) const {
    torch::Tensor y = x.reshape({batch * ticks, 1, services});
    y = torch::relu(torch::conv1d(y, p[0], p[1], 2, 2));
    y = torch::relu(torch::conv1d(y, p[2], p[3], 3, 2));
    // Channels first, as torch likes it: the weights of the LSTM are ordered to match.
    y = y.reshape({batch, ticks, -1}).transpose(0, 1).contiguous();
    y = Lstm(Lstm(y, 4, batch), 7, batch);
    return torch::addmm(p[11], y[-1], p[10]);
  }
};

TorchPeer::TorchPeer(const Network& network, const std::vector<float>& weights, bool training)
    : impl_(std::make_unique<Impl>()) {
  torch::set_num_threads(1);
  impl_->ticks = network.config().ticks;
  impl_->services = static_cast<std::int64_t>(network.services());
  for (const Tensor& tensor : network.tensors()) {
    const auto rows = static_cast<std::int64_t>(tensor.rows);
    const auto columns = static_cast<std::int64_t>(tensor.columns);
    torch::Tensor value = torch::from_blob(const_cast<float*>(weights.data()) + tensor.offset,
                                           {rows, columns}, torch::kFloat);
    if (tensor.name == "trunk.0.weight") {
      value = value.reshape({5, 1, 8}).permute({2, 1, 0});
    } else if (tensor.name == "trunk.1.weight") {
      value = value.reshape({5, 8, 16}).permute({2, 1, 0});
    } else if (tensor.name == "trunk.2.weight") {
      value = value.reshape({rows / 16, 16, columns}).transpose(0, 1).reshape({rows, columns}).t();
    } else if (tensor.bias) {
      value = value.reshape({columns});
    } else if (tensor.name != "head.weight") {
      value = value.t();
    }
    impl_->p.push_back(value.contiguous().clone());
  }
  if (!training) return;
  for (torch::Tensor& value : impl_->p) value.set_requires_grad(true);
  impl_->adam = std::make_unique<torch::optim::Adam>(impl_->p, torch::optim::AdamOptions(1e-3));
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
  if (m.carried.empty()) m.carried.assign(4, torch::zeros({1, 1, 64}));
  torch::Tensor y = torch::from_blob(const_cast<float*>(inputs), {1, 1, m.services}, torch::kFloat);
  y = torch::relu(torch::conv1d(y, m.p[0], m.p[1], 2, 2));
  y = torch::relu(torch::conv1d(y, m.p[2], m.p[3], 3, 2));
  y = y.reshape({1, 1, -1});
  for (std::size_t i = 0; i < 2; ++i) {
    const std::size_t at = 4 + 3 * i;
    std::tie(y, m.carried[2 * i], m.carried[2 * i + 1]) = torch::lstm(
        y, {m.carried[2 * i], m.carried[2 * i + 1]},
        {m.p[at], m.p[at + 1], m.p[at + 2], m.zero_bias}, true, 1, 0.0, false, false, false);
  }
  const torch::Tensor out = torch::softmax(torch::addmm(m.p[11], y[0], m.p[10]), 1);
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
