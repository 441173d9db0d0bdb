// A directory that stands in for / : tests write what a kernel would say.
//
//   FakeRoot root;
//   root.Write("/proc/pressure/cpu", "some ...");
//   SoftnetProbe probe(root.path());
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace seer::testing {

class FakeRoot {
 public:
  FakeRoot() {
    std::string path = (std::filesystem::temp_directory_path() / "seer-probe-XXXXXX").string();
    const char* const made = ::mkdtemp(path.data());
    EXPECT_NE(made, nullptr);
    if (made != nullptr) path_ = path;
  }
  ~FakeRoot() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  FakeRoot(const FakeRoot&) = delete;
  FakeRoot& operator=(const FakeRoot&) = delete;

  const std::string& path() const { return path_; }
  void Write(const std::string& file, std::string_view text) const {
    const std::filesystem::path path = path_ + file;
    std::filesystem::create_directories(path.parent_path());
    // The same inode: a probe keeps its file open.
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  }
  void Remove(const std::string& file) const { std::filesystem::remove_all(path_ + file); }

 private:
  std::string path_;
};

}  // namespace seer::testing
