// A compressed file: it gives text or one sentence, in memory that does not depend on what it says.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <unistd.h>

#include <tinygpt/prepare/input_stream.hpp>

using namespace tinygpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string folder = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";  // memory is faster
  static const std::string path = folder + "/tinygpt-fuzz-compressed-" + std::to_string(::getpid());
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) std::abort();
  std::fwrite(data, 1, size, file);
  std::fclose(file);
  try {
    prepare::InputStream stream(path);
    std::string buffer(1 << 12, '\0');
    std::size_t bytes = 0;
    while (const std::size_t n = stream.read(buffer)) {
      if ((bytes += n) > std::size_t{16} << 20) break;  // a few bytes may say a great many
    }
  } catch (const Error&) {
  }
  ::unlink(path.c_str());
  return 0;
}
