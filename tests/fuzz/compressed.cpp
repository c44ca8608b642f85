// A compressed file: it gives text or one sentence, in memory that does not depend on what it says.
#include <cstdint>
#include <cstdio>
#include <string>

#include <unistd.h>

#include <tinygpt/prepare/input_stream.hpp>

using namespace tinygpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string path = "/tmp/tinygpt-fuzz-compressed-" + std::to_string(::getpid());
  if (std::FILE* const file = std::fopen(path.c_str(), "wb")) {
    std::fwrite(data, 1, size, file);
    std::fclose(file);
  }
  try {
    prepare::InputStream stream(path);
    std::string buffer(1 << 16, '\0');
    std::size_t bytes = 0;
    while (const std::size_t n = stream.read(buffer)) {
      if ((bytes += n) > std::size_t{16} << 20) break;  // a few bytes may say a great many
    }
  } catch (const Error&) {
  }
  ::unlink(path.c_str());
  return 0;
}
