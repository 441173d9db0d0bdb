#include "benchmarks/hwmon/trial_victim.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <numeric>
#include <random>
#include <sstream>

namespace seer::bench {
namespace {

constexpr std::uint16_t kPort = 7000;
constexpr int kConnections = 4;
constexpr std::size_t kRing = 1 << 16;
constexpr std::size_t kFileBytes = 48u << 20;
// Of kMemory: it walks through all of it for each request, and finds it in the core's own cache
// unless somebody else used that meanwhile.
constexpr std::size_t kMemoryBytes = 256u << 10;
constexpr int kSteps = static_cast<int>(kMemoryBytes / 64);
constexpr std::size_t kReplyBytes = 16384;  // of kNetwork

enum Op : std::uint32_t { kWork, kBlock, kWarm };

struct Message {
  std::uint64_t id;
  std::uint32_t op;
  std::uint32_t bytes;  // of what follows a reply
};

std::uint64_t NextRandom(std::uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

bool WriteAll(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t n = ::send(fd, data, size, MSG_NOSIGNAL);
    if (n <= 0) return false;
    data += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

}  // namespace

const char* ProfileName(Profile profile) {
  constexpr const char* kNames[kProfiles] = {"compute", "memory", "page-cache", "disk", "network"};
  return kNames[static_cast<int>(profile)];
}

double RequestsPerSecond(Profile profile) {
  constexpr double kRates[kProfiles] = {1000, 1000, 500, 250, 200};
  return kRates[static_cast<int>(profile)];
}

std::int64_t SteadyNs() {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

bool Shell(const std::string& command) {
  return std::system(("(" + command + ") >/dev/null 2>&1").c_str()) == 0;
}

bool WriteFile(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool ok = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(fd);
  return ok;
}

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

void PinTo(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  ::sched_setaffinity(0, sizeof(set), &set);
}

Victim::Victim(Profile profile, int number, std::string directory)
    : profile_(profile), number_(number), directory_(std::move(directory)) {
  shared_ = static_cast<Shared*>(
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  int ready[2], go[2];
  if (::pipe2(ready, O_CLOEXEC) != 0 || ::pipe2(go, O_CLOEXEC) != 0) return;
  pid_ = ::fork();
  if (pid_ == 0) Serve(ready[1], go[0]);
  ::close(ready[1]);
  ::close(go[0]);
  ready_ = ready[0];
  go_ = go[1];
}

Victim::~Victim() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ::close(ready_);
  ::close(go_);
  Shell("ip link del seert" + std::to_string(number_));
  for (const char* controller : {"cpu", "cpuacct", "memory", "unified"}) {
    ::rmdir(cgroup(controller).c_str());
  }
  ::munmap(shared_, sizeof(Shared));
}

std::string Victim::cgroup(const char* controller) const {
  return std::string("/sys/fs/cgroup/") + controller + "/seer-trial/v" + std::to_string(number_);
}

bool Victim::Begin() {
  char byte = 0;
  if (pid_ <= 0 || ::read(ready_, &byte, 1) != 1) return Fail("the victim did not start");
  const std::string pid = std::to_string(pid_), n = std::to_string(number_);
  for (const char* controller : {"cpu", "cpuacct", "memory", "unified"}) {
    ::mkdir(cgroup(controller).c_str(), 0755);
    if (!WriteFile(cgroup(controller) + "/cgroup.procs", pid)) {
      return Fail(cgroup(controller) + ": cannot move a process there");
    }
  }
  // A run that was killed may have left its limits.
  WriteFile(cgroup("cpu") + "/cpu.cfs_quota_us", "-1");
  WriteFile(cgroup("memory") + "/memory.limit_in_bytes", "-1");
  // The victim's only link is slow enough for one neighbour to fill it.
  Shell("ip link del seert" + n);
  const std::string in = "nsenter -t " + pid + " -n ";
  if (!Shell("ip link add seert" + n + " type veth peer name eth0 netns " + pid) ||
      !Shell("ip addr add " + peer_address() + "/24 dev seert" + n + " && ip link set seert" + n +
             " up") ||
      !Shell(in + "ip addr add " + address() + "/24 dev eth0 && " + in + "ip link set eth0 up && " +
             in + "ip link set lo up") ||
      !Shell(in + "tc qdisc add dev eth0 root tbf rate 80mbit burst 64kb limit 600kb")) {
    return Fail("ip or tc cannot make the victim's network");
  }
  if (::write(go_, &byte, 1) != 1 || ::read(ready_, &byte, 1) != 1) {
    return Fail("the victim does not serve");
  }
  return true;
}

void Victim::Serve(int ready, int go) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  PinTo(kVictimCpu);
  char byte = 0;
  if (::unshare(CLONE_NEWNET) != 0 || ::write(ready, &byte, 1) != 1 || ::read(go, &byte, 1) != 1) {
    std::_Exit(1);
  }
  std::uint64_t random = 88172645463325252u + static_cast<std::uint64_t>(number_);
  // What the requests work on.
  std::vector<std::uint32_t> next;
  if (profile_ == Profile::kMemory) {
    next.resize(kMemoryBytes / sizeof(std::uint32_t));
    // A cycle over the lines; each word of a line is its line's.
    const std::size_t lines = next.size() / 16;
    std::vector<std::uint32_t> order(lines);
    std::iota(order.begin(), order.end(), 0u);
    for (std::size_t i = lines - 1; i > 0; --i) {
      std::swap(order[i], order[NextRandom(&random) % i]);
    }
    for (std::size_t i = 0; i < lines; ++i) next[i * 16] = order[i] * 16;
  }
  int file = -1;
  alignas(4096) static char page[4096];
  if (profile_ == Profile::kPageCache || profile_ == Profile::kDisk) {
    const std::string path = directory_ + "/seer-trial-" + std::to_string(number_);
    file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (std::size_t at = 0; at < kFileBytes; at += sizeof(page)) {
      if (::pwrite(file, page, sizeof(page), static_cast<off_t>(at)) < 0) std::_Exit(2);
    }
    ::fdatasync(file);
    if (profile_ == Profile::kDisk) {
      ::close(file);
      file = ::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
    }
    ::unlink(path.c_str());
    if (file < 0) std::_Exit(3);
  }
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(kPort);
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener, 64) != 0 || ::write(ready, &byte, 1) != 1) {
    std::_Exit(4);
  }
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.fd = listener;
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);

  std::uint32_t at = 0;
  std::vector<char> reply(sizeof(Message) + kReplyBytes);
  const auto work = [&] {
    const int rounds = profile_ == Profile::kCompute ? 60'000 : 5'000;
    std::uint64_t x = random;
    for (int i = 0; i < rounds; ++i) x = x * 6364136223846793005u + 1442695040888963407u;
    random ^= x | 1;
    if (random == 0) random = 1;
    if (profile_ == Profile::kMemory) {
      for (int i = 0; i < kSteps; ++i) at = next[at];
      asm volatile("" : : "r"(at));  // or nobody would need it
    }
    if (profile_ == Profile::kPageCache || profile_ == Profile::kDisk) {
      const int reads = profile_ == Profile::kDisk ? 1 : 16;
      for (int i = 0; i < reads; ++i) {
        const auto block = NextRandom(&random) % (kFileBytes / sizeof(page));
        if (::pread(file, page, sizeof(page), static_cast<off_t>(block * sizeof(page))) < 0) return;
      }
    }
  };
  for (;;) {
    epoll_event events[16];
    const int n = ::epoll_wait(epoll, events, 16, -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener) {
        event.data.fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        ::setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        ::epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
        continue;
      }
      Message message;
      if (::recv(fd, &message, sizeof(message), MSG_WAITALL) != sizeof(message)) {
        ::close(fd);
        continue;
      }
      if (message.op == kWarm && file >= 0) {
        for (std::size_t b = 0; b < kFileBytes; b += sizeof(page)) {
          (void)!::pread(file, page, sizeof(page), static_cast<off_t>(b));
        }
      } else {
        work();
        if (message.op == kBlock) ::usleep(3000);
      }
      message.bytes = profile_ == Profile::kNetwork ? kReplyBytes : 0;
      std::memcpy(reply.data(), &message, sizeof(message));
      WriteAll(fd, reply.data(), sizeof(message) + message.bytes);
      shared_->handled.fetch_add(1, std::memory_order_relaxed);
    }
  }
}

Client::Client(const Victim& victim) : open_(kRing, 0) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(kPort);
  ::inet_pton(AF_INET, victim.address().c_str(), &address.sin_addr);
  for (int i = 0; i < kConnections; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      ::close(fd);
      return;
    }
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
    sockets_.push_back(fd);
  }
  ok_ = true;
  thread_ = std::thread([this] { Run(); });
}

Client::~Client() {
  stop_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) thread_.join();
  for (const int fd : sockets_) ::close(fd);
}

void Client::Run() {
  PinTo(kClientCpu);
  sched_param param = {};
  param.sched_priority = 1;
  ::sched_setscheduler(0, SCHED_FIFO, &param);  // a neighbour must not be taken for latency
  std::mt19937_64 random(4711);
  std::exponential_distribution<double> gap(1);
  std::uniform_real_distribution<double> chance(0, 1);
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<std::string> in(sockets_.size());
  for (std::size_t i = 0; i < sockets_.size(); ++i) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = i;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, sockets_[i], &event);
  }
  std::uint64_t id = 0;
  std::int64_t next = SteadyNs();
  std::vector<char> buffer(65536);
  while (!stop_.load(std::memory_order_relaxed)) {
    std::int64_t now = SteadyNs();
    // A gap that was drawn at a lower rate does not last.
    next = std::min(next, now + static_cast<std::int64_t>(
                                    10e9 / std::max(1.0, rate_.load(std::memory_order_relaxed))));
    while (now >= next) {
      Message message = {++id, kWork, 0};
      if (warm_.exchange(false, std::memory_order_relaxed)) message.op = kWarm;
      if (chance(random) < blocked_.load(std::memory_order_relaxed)) message.op = kBlock;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        open_[id % kRing] = message.op == kWarm ? 0 : next;
        next_ = id + 1;
        oldest_ = std::max(oldest_, next_ - std::min<std::uint64_t>(next_ - 1, kRing));
      }
      // A full socket loses the request's bytes: it stays open, as a client would see it.
      (void)::send(sockets_[id % sockets_.size()], &message, sizeof(message), MSG_NOSIGNAL);
      next += static_cast<std::int64_t>(gap(random) * 1e9 /
                                        std::max(1.0, rate_.load(std::memory_order_relaxed)));
    }
    epoll_event events[8];
    const std::int64_t wait_us = std::clamp<std::int64_t>((next - SteadyNs()) / 1000, 0, 1000);
    const timespec wait = {0, wait_us * 1000};
    const int n = ::epoll_pwait2(epoll, events, 8, &wait, nullptr);
    now = SteadyNs();
    for (int i = 0; i < n; ++i) {
      const std::size_t c = events[i].data.u64;
      const ssize_t got = ::recv(sockets_[c], buffer.data(), buffer.size(), 0);
      if (got <= 0) continue;
      std::string& bytes = in[c];
      bytes.append(buffer.data(), static_cast<std::size_t>(got));
      std::size_t at = 0;
      Message message;
      while (bytes.size() - at >= sizeof(message)) {
        std::memcpy(&message, bytes.data() + at, sizeof(message));
        if (bytes.size() - at < sizeof(message) + message.bytes) break;
        at += sizeof(message) + message.bytes;
        const std::lock_guard<std::mutex> lock(mutex_);
        std::int64_t& sent = open_[message.id % kRing];
        if (sent != 0) answered_.push_back({sent, now - sent});
        sent = 0;
        while (oldest_ < next_ && open_[oldest_ % kRing] == 0) ++oldest_;
      }
      bytes.erase(0, at);
    }
  }
  ::close(epoll);
}

std::vector<std::int64_t> Client::LatenciesIn(std::int64_t from_ns, std::int64_t to_ns) {
  const std::int64_t now = SteadyNs();
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::int64_t> result;
  for (const Latency& l : answered_) {
    if (l.sent_ns >= from_ns && l.sent_ns < to_ns) result.push_back(l.latency_ns);
  }
  // Not the whole ring: who asks every millisecond would keep the client waiting.
  for (std::uint64_t id = oldest_; id < next_; ++id) {
    const std::int64_t sent = open_[id % kRing];
    if (sent >= from_ns && sent < to_ns && sent != 0) result.push_back(now - sent);
  }
  return result;
}

bool Client::HasOpen() {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (std::uint64_t id = oldest_; id < next_; ++id) {
    if (open_[id % kRing] != 0) return true;
  }
  return false;
}

void Client::Forget() {
  const std::lock_guard<std::mutex> lock(mutex_);
  answered_.clear();
  for (; oldest_ < next_; ++oldest_) open_[oldest_ % kRing] = 0;
}

}  // namespace seer::bench
