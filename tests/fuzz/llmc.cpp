// Any bytes as a checkpoint of llm.c's: refused by a sentence, or a model that is written as it was read.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include <tinygpt/exchange/llmc.hpp>

using namespace tinygpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int fd = ::memfd_create("model", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(size)) != 0) std::abort();
  if (::pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  try {
    const LoadedModel model = read_llmc(path);
    const Config& c = model.config;
    const auto param_bytes = ParamTable(c).param_count() * 2;
    if (static_cast<std::int64_t>(size) < llmc::header_bytes + param_bytes) std::abort();
    if (c != llmc::config_of({0, 0, c.ctx, c.vocab, c.layers, c.query_heads, c.embd, 0})) std::abort();
    if (!llmc::why_not(c).empty()) std::abort();
    // The first number is the first of the table of tokens.
    float first = 0;
    if (data[4] == 3) {
      std::memcpy(&first, data + llmc::header_bytes, sizeof first);
    } else {
      bfloat16 half;
      std::memcpy(&half, data + llmc::header_bytes, sizeof half);
      first = static_cast<float>(half);
    }
    const float ours = model.weights[0];
    if (std::memcmp(&first, &ours, sizeof first) != 0 && ours == ours) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
