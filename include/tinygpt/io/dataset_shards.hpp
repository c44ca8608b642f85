// The shards of a dataset, opened and checked whole.
#pragma once

#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include <tinygpt/in_parallel.hpp>
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

/// Throws where a raw file that is to be read as uint16 shows that it holds uint32.
inline void expect_two_bytes(const std::filesystem::path& path) {
  if (!TokenShard::is_raw_uint32(path)) return;
  throw Error(path.string() +
              " would be read as uint16, but every second number is the upper half of a uint32: write \"dtype\": "
              "\"uint32\" in dataset_metadata.json, or prepare the data again");
}

/// Throws where the ids of a vocabulary need more than the two bytes that a file without a word on it is taken to have.
inline void expect_room_in_two_bytes(const Dataset& dataset, const DatasetSplit& split, int vocab) {
  constexpr int any_id = std::numeric_limits<int>::max();  // the vocabulary is not known
  if (dataset.kind != DatasetKind::nanogpt || vocab <= 65536 || vocab == any_id) return;
  for (const DatasetShard& shard : split.shards) {
    if (shard.format != ShardFormat::raw_uint16) continue;
    throw Error((dataset.directory / shard.file).string() +
                " would be read as uint16, which cannot hold the ids of a tokenizer of " + std::to_string(vocab) +
                " tokens: write dataset_metadata.json with {\"dtype\": \"uint32\"} beside it, or prepare the data "
                "again");
  }
}

/// Opens one shard and reads it once; returns it and its checksum.
inline std::pair<TokenShard, std::uint32_t> checked(const std::filesystem::path& directory, const DatasetShard& said,
                                                    int vocab) {
  const auto path = directory / said.file;
  if (said.format == ShardFormat::raw_uint16) expect_two_bytes(path);
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
  dataset::expect_room_in_two_bytes(dataset, split, vocab);
  const std::size_t n = split.shards.size();
  std::vector<std::optional<std::pair<TokenShard, std::uint32_t>>> opened(n);
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  in_parallel(order, static_cast<std::size_t>(threads), AfterFault::stop,
              [&](std::size_t i) { opened[i].emplace(dataset::checked(dataset.directory, split.shards[i], vocab)); });
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
