// Any bytes as a state dict of nanoGPT's: refused by a sentence, or a model of the shapes that the file has, with its
// first numbers. The first byte is the number of heads that a person gives, 0 for none; the rest is the file.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include <tinygpt/exchange/nanogpt.hpp>

using namespace tinygpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int fd = ::memfd_create("state", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  if (size == 0) return 0;
  const int heads = *data++;
  --size;
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(size)) != 0) std::abort();
  if (::pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  try {
    const SafetensorsReader reader(path);
    is_nanogpt(reader);
    const LoadedModel model = read_nanogpt(path, {heads});
    const Config& c = model.config;
    if (heads != 0 && c.query_heads != heads) std::abort();
    if (c.embd != c.query_heads * c.head_dim || c.kv_heads != c.query_heads) std::abort();
    const ParamTable table(c);
    if (model.weights.size() != static_cast<std::size_t>(table.arena_size())) std::abort();
    // Half precision is the least that a parameter takes, but for a head that is tied and biases of norms.
    if (table[Param::token_embedding].size() * 2 > static_cast<std::int64_t>(size)) std::abort();
    for (const TensorEntry& entry : reader.entries()) {
      if (nanogpt::StateDict::plain(entry.name) != "transformer.wte.weight") continue;
      if (entry.shape != std::vector<std::int64_t>{c.vocab, c.embd}) std::abort();
      if (entry.type != "F32") continue;
      const std::size_t bytes = static_cast<std::size_t>(entry.end - entry.begin);
      std::uint64_t header = 0;
      std::memcpy(&header, data, sizeof header);
      const auto* const first = data + sizeof header + header + entry.begin;
      if (std::memcmp(first, model.weights.data(), bytes) != 0) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
