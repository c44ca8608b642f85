// Bytes of token shards, made by hand.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

/// The little-endian bytes of numbers.
template <class N> std::string bytes_of(const std::vector<N>& numbers) {
  std::string bytes(numbers.size() * sizeof(N), '\0');
  if (!numbers.empty()) std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

/// llm.c's header of 256 int32.
inline std::string llmc_header_bytes(std::int32_t magic, std::int32_t version, std::int32_t count) {
  std::vector<std::int32_t> words(256);
  words[0] = magic, words[1] = version, words[2] = count;
  return bytes_of(words);
}

/// A whole shard of llm.c's first kind.
inline std::string llmc_shard_bytes(const std::vector<std::uint16_t>& tokens) {
  return llmc_header_bytes(20240520, 1, static_cast<std::int32_t>(tokens.size())) + bytes_of(tokens);
}
