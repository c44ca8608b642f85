// Which algorithm was found for which matrix product, kept in a file between runs.
//
// Algorithms are timed, and time is noise: without the file a resumed run could take others than the run it resumes,
// and sums in another order have other bits. So what was found is written down before it is used, first come first
// kept, and a machine without a place to write does not time at all (see MatmulEngine).
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

namespace tinygpt::gpu {

/// A library's description of an algorithm: bits that only it can read.
using AlgorithmBits = std::array<std::uint64_t, 8>;

/// The file of one kind of GPU, one driver and one version of the library; `owner` says which, in its first line and
/// its name. Nothing about it is an error: a file that cannot be read, is another's, or is damaged holds nothing.
class PlanFile {
 public:
  /// In `folder`; an empty one means that there is no file.
  PlanFile(const std::filesystem::path& folder, const std::string& owner)
      : first_line_("tinygpt matmul plans 1: " + owner) {
    if (!folder.empty()) path_ = folder / ("matmul-" + file_name(owner) + ".txt");
  }

  /// $TINYGPT_CACHE, else $XDG_CACHE_HOME/tinygpt, else ~/.cache/tinygpt; empty where none is set, or the first is
  /// empty.
  static std::filesystem::path default_folder() {
    if (const char* own = std::getenv("TINYGPT_CACHE")) return own;
    const char* cache = std::getenv("XDG_CACHE_HOME");
    if (cache != nullptr && *cache != '\0') return std::filesystem::path(cache) / "tinygpt";
    const char* home = std::getenv("HOME");
    if (home != nullptr && *home != '\0') return std::filesystem::path(home) / ".cache" / "tinygpt";
    return {};
  }

  const std::filesystem::path& path() const { return path_; }

  /// What the file holds for this key.
  std::optional<AlgorithmBits> find(const std::string& key) const {
    const auto plans = read();
    const auto found = plans.find(key);
    if (found == plans.end()) return std::nullopt;
    return found->second;
  }

  /// What the file holds for this key and usable(it) accepts; else what choose() says, once it is in the file. Nothing
  /// where the file cannot be written, and nothing from then on. Other programs that choose at the same time wait, and
  /// find what this one chose.
  template <class Usable, class Choose>
  std::optional<AlgorithmBits> find_or_choose(const std::string& key, Usable&& usable, Choose&& choose) {
    if (path_.empty()) return std::nullopt;
    const Lock lock(path_);
    if (lock) {
      auto plans = read();
      if (const auto found = plans.find(key); found != plans.end() && usable(found->second)) return found->second;
      const AlgorithmBits chosen = choose();
      plans[key] = chosen;
      if (write(plans)) return chosen;
    }
    path_.clear();
    return std::nullopt;
  }

 private:
  using Plans = std::map<std::string, AlgorithmBits>;

  /// A lock on a file beside, which stays: a lock on the file itself would be lost when that is replaced.
  class Lock {
   public:
    explicit Lock(const std::filesystem::path& path) {
      std::error_code ignored;
      std::filesystem::create_directories(path.parent_path(), ignored);
      file_ = ::open((path.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
      if (file_ >= 0 && ::flock(file_, LOCK_EX) != 0) {
        ::close(file_);
        file_ = -1;
      }
    }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    ~Lock() {
      if (file_ >= 0) ::close(file_);
    }
    explicit operator bool() const { return file_ >= 0; }

   private:
    int file_ = -1;
  };

  static std::string file_name(std::string_view owner) {
    std::string name;
    for (char c : owner) {
      const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.';
      if (plain) {
        name += c;
      } else if (!name.empty() && name.back() != '-') {
        name += '-';
      }
    }
    return name;
  }

  /// FNV-1a: finds what a broken disk or an editor did to a line.
  static std::uint64_t sum_of(std::string_view line) {
    std::uint64_t sum = 0xcbf29ce484222325u;
    for (char c : line) sum = (sum ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return sum;
  }

  static std::string line_of(const std::string& key, const AlgorithmBits& bits) {
    std::ostringstream line;
    line << key << std::hex << std::setfill('0');
    for (std::uint64_t word : bits) line << ' ' << std::setw(16) << word;
    return line.str();
  }

  Plans read() const {
    Plans plans;
    std::ifstream file(path_);
    std::string line;
    if (!std::getline(file, line) || line != first_line_) return plans;
    while (std::getline(file, line)) {
      std::istringstream words(line);
      std::string key;
      AlgorithmBits bits{};
      std::uint64_t sum = 0;
      words >> key >> std::hex;
      for (std::uint64_t& word : bits) words >> word;
      words >> sum;
      if (words && sum == sum_of(line_of(key, bits))) plans.emplace(key, bits);
    }
    return plans;
  }

  /// The whole file anew, beside the old one and then in its place.
  bool write(const Plans& plans) const {
    std::ostringstream text;
    text << first_line_ << '\n';
    for (const auto& [key, bits] : plans) {
      const std::string line = line_of(key, bits);
      text << line << ' ' << std::hex << std::setfill('0') << std::setw(16) << sum_of(line) << '\n';
    }
    const std::string content = text.str(), beside = path_.string() + ".new";
    const int file = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0) return false;
    bool good = ::write(file, content.data(), content.size()) == static_cast<ssize_t>(content.size());
    good = ::fsync(file) == 0 && good;
    good = ::close(file) == 0 && good;
    good = good && std::rename(beside.c_str(), path_.c_str()) == 0;
    if (!good) ::unlink(beside.c_str());
    return good;
  }

  std::filesystem::path path_;
  std::string first_line_;
};

}  // namespace tinygpt::gpu
