#include "switches.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace social {
SwitchBoard::SwitchBoard(const Deployment& deployment) {
  const std::string path = deployment.directory() + "/switches";
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  void* memory = MAP_FAILED;
  if (file >= 0 && ftruncate(file, sizeof(Switches)) == 0) {
    memory = mmap(nullptr, sizeof(Switches), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  }
  const int error = errno;
  if (file >= 0) close(file);
  if (memory == MAP_FAILED) throw std::runtime_error(path + ": " + std::strerror(error));
  switches_ = static_cast<Switches*>(memory);  // a file of zeros: nothing is switched
}

SwitchBoard::~SwitchBoard() { munmap(switches_, sizeof(Switches)); }

Switches::Service& SwitchBoard::Of(const std::string& role) const {
  for (std::size_t i = 0; i < Roles().size(); ++i) {
    if (Roles()[i].name == role) return switches_->services[i];
  }
  throw std::invalid_argument("there is no role '" + role + "'");
}

std::uint32_t SwitchBoard::WorkersOf(const Role& role) const {
  const std::uint32_t wanted = Of(role.name).workers.load(std::memory_order_relaxed);
  return wanted > 0 ? wanted : static_cast<std::uint32_t>(role.workers);
}

void WaitAsSwitched(const Switches::Service& service) {
  if (const std::uint32_t us = service.wait_us.load(std::memory_order_relaxed); us > 0) {
    std::this_thread::sleep_for(std::chrono::microseconds(us));
  }
  if (service.lock_us.load(std::memory_order_relaxed) == 0) return;
  static std::mutex the_lock;
  const std::lock_guard<std::mutex> lock(the_lock);
  // Asked again: who waited long for the lock need not hold it when the fault is over.
  std::this_thread::sleep_for(
      std::chrono::microseconds(service.lock_us.load(std::memory_order_relaxed)));
}

}  // namespace social
