// Any bytes as a file of tokens: refused by a sentence, or tokens that are all below the vocabulary's size.
//
// The first byte chooses a format or none, and a vocabulary; the rest is the file.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <tinygpt/data/token_shard.hpp>

using namespace tinygpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int fd = ::memfd_create("shard", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  if (size == 0) return 0;
  const std::uint8_t choice = *data++;
  --size;
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(size)) != 0) std::abort();
  if (::pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) std::abort();

  const ShardFormat formats[] = {ShardFormat::llmc_uint16, ShardFormat::llmc_uint32, ShardFormat::raw_uint16,
                                 ShardFormat::raw_uint32};
  const auto asked = choice % 8 < 4 ? std::optional(formats[choice % 8]) : std::nullopt;
  const int vocabularies[] = {1, 256, 50257, 2147483647};
  const int vocab = vocabularies[choice / 8 % 4];
  try {
    TokenShard::format_of(path);
    const auto shard = TokenShard::open(path, asked);
    const std::int64_t width = shard::token_bytes(shard.format());
    if (shard.size() < 1 || shard.offset(shard.size()) != static_cast<std::int64_t>(size)) std::abort();
    std::size_t seen = 0;
    shard.validate(vocab, [&](std::span<const std::byte> bytes) { seen += bytes.size(); });
    if (seen != size) std::abort();
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(shard.size()));
    if (shard.read(0, tokens) >= vocab) std::abort();
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::int32_t token = 0;
      std::memcpy(&token, data + shard.offset(static_cast<std::int64_t>(i)), static_cast<std::size_t>(width));
      if (token != tokens[i] || token < 0 || token >= vocab) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
