#include "shipped_model.h"

#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "interrupted.h"
#include "processes.h"

namespace social {
namespace {

constexpr char kName[] = "model.shipped";

}  // namespace

ShippedModel::ShippedModel(const Deployment& deployment) : deployment_(deployment) {
  if (!std::filesystem::exists(SEER_SOCIAL_RECORDING)) return;  // the sources have gone
  Command command;
  command.name = kName;
  command.words = {std::filesystem::read_symlink("/proc/self/exe").string(), "--learn",
                   deployment.directory() + "/" + kName, "--from", SEER_SOCIAL_RECORDING};
  command.log = deployment.LogOf(kName);
  pid_ = Start(command);
}

ShippedModel::~ShippedModel() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

std::string ShippedModel::File(std::string* why) {
  if (pid_ <= 0) {
    *why = std::string("a trained model: there is no ") + SEER_SOCIAL_RECORDING;
    return "";
  }
  int status = 0;
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (Interrupted()) return "";
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  pid_ = -1;
  if (status == 0) return deployment_.directory() + "/" + kName;
  *why = "a trained model: " + TailOf(deployment_.LogOf(kName));
  return "";
}

}  // namespace social
