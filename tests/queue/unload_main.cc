// Loads a library with seer inside, counts in it from threads, and unloads it again while those
// threads live: neither their end nor a fork() nor the end of the process may run code that is
// gone.
//
//   unload PLUGIN
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace {

#define REQUIRE(condition)                                            \
  if (!(condition)) {                                                 \
    std::printf("line %d: %s does not hold\n", __LINE__, #condition); \
    return 1;                                                         \
  }

int Run(const char* plugin, const std::string& directory) {
  for (unsigned round = 0; round < 5; ++round) {
    void* const library = ::dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) std::printf("%s\n", ::dlerror());
    REQUIRE(library != nullptr);
    auto* const start = reinterpret_cast<bool (*)(const char*)>(::dlsym(library, "plugin_start"));
    auto* const count = reinterpret_cast<void (*)()>(::dlsym(library, "plugin_count"));
    auto* const depth =
        reinterpret_cast<unsigned (*)(const char*)>(::dlsym(library, "plugin_depth"));
    REQUIRE(start != nullptr && count != nullptr && depth != nullptr);
    REQUIRE(start(directory.c_str()));
    std::atomic<unsigned> counted{0};
    std::atomic<bool> unloaded{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        count();
        counted.fetch_add(1, std::memory_order_release);
        while (!unloaded.load(std::memory_order_acquire)) std::this_thread::yield();
      });
    }
    while (counted.load(std::memory_order_acquire) < 4) std::this_thread::yield();
    REQUIRE(depth(directory.c_str()) == 4);
    REQUIRE(::dlclose(library) == 0);
    unloaded.store(true, std::memory_order_release);
    for (std::thread& thread : threads) thread.join();
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(status == 0);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  std::string directory = (std::filesystem::temp_directory_path() / "seer-unload-XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr) return 2;
  const pid_t child = ::fork();  // whose end is looked at too
  if (child == 0) std::exit(Run(argv[1], directory));
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0) std::printf("it ended with status %#x\n", static_cast<unsigned>(status));
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    std::printf("it left %s\n", entry.path().c_str());
    status = 1;
  }
  std::filesystem::remove_all(directory);
  return status == 0 ? 0 : 1;
}
