// The shards of a dataset, opened and checked whole.
#pragma once

#include <atomic>
#include <exception>
#include <thread>
#include <vector>

#include <tinygpt/io/dataset.hpp>

namespace tinygpt {

/// Shards whose sizes, checksums and ids have been checked.
struct CheckedShards {
  std::vector<TokenShard> shards;
  std::int64_t bytes = 0;  ///< of the files
  std::uint32_t crc = 0;   ///< of the files' lengths and checksums in order: a fingerprint of the data

  std::int64_t tokens() const {
    std::int64_t sum = 0;
    for (const auto& shard : shards) sum += shard.size();
    return sum;
  }
};

namespace dataset {

/// Opens one shard and reads it once; returns it and its checksum.
inline std::pair<TokenShard, std::uint32_t> checked(const std::filesystem::path& directory, const DatasetShard& said,
                                                    int vocab) {
  const auto path = directory / said.file;
  auto shard = TokenShard::open(path, said.format);
  const std::string changed = path.string() + " has changed since it was prepared: ";
  const std::string advice = ": copy it or prepare it again";
  if (said.tokens && *said.tokens != shard.size()) {
    throw DamagedFile(changed + "it has " + std::to_string(shard.size()) + " tokens instead of " +
                      std::to_string(*said.tokens) + advice);
  }
  Crc32c crc;
  shard.validate(vocab, [&](std::span<const std::byte> bytes) { crc.update(bytes); });
  if (said.crc32c && *said.crc32c != crc_text(crc.value())) {
    throw DamagedFile(changed + "its checksum is " + crc_text(crc.value()) + " instead of " + *said.crc32c + advice);
  }
  return {std::move(shard), crc.value()};
}

}  // namespace dataset

/// Opens the shards of a split and reads them all once, on as many threads: every id must be below `vocab`. Of several
/// faults the first shard's is thrown.
inline CheckedShards open_shards(const Dataset& dataset, const DatasetSplit& split, int vocab, int threads = 1) {
  const std::size_t n = split.shards.size();
  std::vector<std::optional<std::pair<TokenShard, std::uint32_t>>> opened(n);
  std::vector<std::exception_ptr> faults(n);
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i; (i = next++) < n;) {
      try {
        opened[i].emplace(dataset::checked(dataset.directory, split.shards[i], vocab));
      } catch (...) {
        faults[i] = std::current_exception();
        next = n;
      }
    }
  };
  {
    std::vector<std::jthread> others;
    try {
      for (int i = 1; i < threads && static_cast<std::size_t>(i) < n; ++i) others.emplace_back(work);
    } catch (const std::system_error&) {  // fewer threads, then
    }
    work();
  }
  for (const auto& fault : faults) {
    if (fault) std::rethrow_exception(fault);
  }
  CheckedShards all;
  Crc32c crc;
  for (auto& shard : opened) {
    const std::int64_t bytes = shard->first.bytes();
    all.bytes += bytes;
    crc.update(std::as_bytes(std::span(&bytes, 1)));
    crc.update(std::as_bytes(std::span(&shard->second, 1)));
    all.shards.push_back(std::move(shard->first));
  }
  all.crc = crc.value();
  return all;
}

}  // namespace tinygpt
