#include <catch.hpp>

#include <numeric>

#include <scratch.hpp>
#include <shards.hpp>

#include <tinygpt/io/dataset_shards.hpp>
#include <tinygpt/io/shard_writer.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

struct Written {
  std::int64_t tokens;
  std::string crc;
};

Written write(const std::filesystem::path& path, std::vector<std::int32_t> tokens) {
  ShardWriter writer(path, ShardFormat::llmc_uint16);
  writer.write(tokens);
  writer.finish();
  return {writer.tokens(), crc_text(writer.crc())};
}

/// A dataset as prepare writes it: two shards to train on and one to validate with.
Json prepared(const ScratchDirectory& scratch) {
  const auto shard = [&](const char* name, std::vector<std::int32_t> tokens) -> Json {
    const auto written = write(scratch.path / name, std::move(tokens));
    return {{"file", name}, {"tokens", written.tokens}, {"crc32c", written.crc}};
  };
  const Json a = shard("train_000000.bin", {1, 2, 3}), b = shard("train_000001.bin", {4, 5}),
             c = shard("val_000000.bin", {6, 7, 8, 9});
  return {{"format", "tinygpt-dataset"},
          {"format_version", 1},
          {"tokenizer", {{"file", "tokenizer.json"}, {"description", "d"}, {"size", 10}, {"hash", "0123456789abcdef"}}},
          {"end_of_text", nullptr},
          {"splits",
           {{"train", {{"tokens", 5}, {"documents", 2}, {"shards", {a, b}}}},
            {"val", {{"tokens", 4}, {"documents", 1}, {"shards", {c}}}}}},
          {"sources", Json::array()},
          {"options", Json::object()}};
}

std::vector<std::int32_t> all_of(const std::vector<TokenShard>& shards) {
  std::vector<std::int32_t> tokens;
  for (const auto& shard : shards) {
    std::vector<std::int32_t> part(static_cast<std::size_t>(shard.size()));
    shard.read(0, part);
    tokens.insert(tokens.end(), part.begin(), part.end());
  }
  return tokens;
}

std::vector<std::string> names(const DatasetSplit& split) {
  std::vector<std::string> names;
  for (const auto& shard : split.shards) names.push_back(shard.file);
  return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a prepared dataset is read and every shard of it checked, on any number of threads") {
  const ScratchDirectory scratch;
  scratch.file("dataset.json", json_text(prepared(scratch)));
  const Dataset dataset = read_dataset(scratch.path);
  CHECK(dataset.kind == DatasetKind::prepared);
  CHECK(dataset.vocab == 10);
  CHECK(dataset.tokenizer_hash == "0123456789abcdef");
  CHECK(dataset.train.tokens == 5);
  CHECK(dataset.train.documents == 2);
  const auto train = open_shards(dataset, dataset.train, 10), again = open_shards(dataset, dataset.train, 10, 4);
  CHECK(all_of(train.shards) == std::vector<std::int32_t>{1, 2, 3, 4, 5});
  CHECK(all_of(open_shards(dataset, dataset.validation, 10).shards) == std::vector<std::int32_t>{6, 7, 8, 9});
  CHECK(train.tokens() == 5);
  CHECK(train.bytes == 2 * 1024 + 10);
  CHECK(train.crc == again.crc);
  CHECK(train.crc != open_shards(dataset, dataset.validation, 10).crc);
}

TEST_CASE("the fingerprint of data knows their order and their division") {
  const auto of = [](std::vector<std::vector<std::int32_t>> parts) {
    const ScratchDirectory scratch;
    for (std::size_t i = 0; i < parts.size(); ++i)
      write(scratch.path / ("train_" + std::to_string(i) + ".bin"), parts[i]);
    const Dataset dataset = read_dataset(scratch.path);
    return open_shards(dataset, dataset.train, 100).crc;
  };
  CHECK(of({{1, 2}, {3, 4}}) == of({{1, 2}, {3, 4}}));
  CHECK(of({{1, 2}, {3, 4}}) != of({{3, 4}, {1, 2}}));
  CHECK(of({{1, 2}, {3, 4}}) != of({{1, 2, 3}, {4}}));
  CHECK(of({{1, 2}, {3, 4}}) != of({{1, 2}, {3, 5}}));
}

TEST_CASE("shards that have changed since they were prepared are named") {
  const ScratchDirectory scratch;
  scratch.file("dataset.json", json_text(prepared(scratch)));
  const auto open = [&](int threads) {
    const Dataset dataset = read_dataset(scratch.path);
    open_shards(dataset, dataset.train, 10, threads);
  };
  for (const int threads : {1, 3}) {
    write(scratch.path / "train_000001.bin", {4, 6});
    CHECK_THROWS_WITH(open(threads), Contains("train_000001.bin has changed") && Contains("checksum"));
    write(scratch.path / "train_000001.bin", {4, 5, 6});
    CHECK_THROWS_WITH(open(threads), Contains("it has 3 tokens instead of 2"));
    write(scratch.path / "train_000000.bin", {1, 2, 10});
    CHECK_THROWS_WITH(open(threads), Contains("train_000000.bin") && Contains("token 2, at byte 1028, is 10"));
    std::filesystem::remove(scratch.path / "train_000000.bin");
    CHECK_THROWS_WITH(open(threads), Contains("train_000000.bin") && Contains("no such file"));
    prepared(scratch);
  }
  CHECK_NOTHROW(open(1));
}

TEST_CASE("every way in which dataset.json can be wrong is a sentence") {
  const ScratchDirectory scratch;
  const Json good = prepared(scratch);
  struct Bad {
    const char* pointer;
    Json value;
    const char* sentence;
  };
  const Bad cases[] = {
      {"/format", "other", "it is no dataset"},
      {"/format", nullptr, "'format' must be a text"},
      {"/format_version", 2, "written by a newer tinygpt"},
      {"/format_version", "1", "'format_version' must be a whole number"},
      {"/splits", nullptr, "'splits' must be an object"},
      {"/splits/train", Json::array(), "'train' must be an object"},
      {"/splits/val", nullptr, "'val' must be an object"},
      {"/splits/train/tokens", -1, "'tokens' must be 0 or more"},
      {"/splits/train/tokens", 4, "'tokens' is less than its shards have"},
      {"/splits/train/tokens", 6, "'tokens' is more than its shards have"},
      {"/splits/train/tokens", 1.5, "'tokens' must be a whole number"},
      {"/splits/train/documents", -1, "'documents' must be 0 or more"},
      {"/splits/train/documents", nullptr, "'documents' must be"},
      {"/splits/train/shards", nullptr, "'shards' must be a list"},
      {"/splits/train/shards/0", "train.bin", "'shards' must hold objects"},
      {"/splits/train/shards/0/tokens", std::uint64_t{1} << 63, "'tokens' must be a smaller number"},
      {"/splits/train/shards/0/tokens", 9'223'372'036'854'775'807, "'tokens' is less than its shards have"},
      {"/splits/train/shards/0/tokens", -3, "'tokens' must be 0 or more"},
      {"/splits/train/shards/1/file", "../secret.bin", "'../secret.bin' is not the plain name of a file"},
      {"/splits/train/shards/1/file", "/etc/passwd", "is not the plain name"},
      {"/splits/train/shards/1/file", "..", "is not the plain name"},
      {"/splits/train/shards/1/file", "", "is not the plain name"},
      {"/splits/train/shards/1/file", "a\x1B.bin/", "'a\\x1b.bin/' is not the plain name"},
      {"/splits/train/shards/1/file", std::string(256, 'a'), "is not the plain name"},
      {"/splits/train/shards/1/file", 7, "'file' must be a text"},
      {"/splits/train/shards/1/crc32c", "0123", "eight hexadecimal digits"},
      {"/splits/train/shards/1/crc32c", "0123456G", "eight hexadecimal digits"},
      {"/splits/train/shards/1/crc32c", nullptr, "'crc32c' must be a text"},
      {"/tokenizer", nullptr, "'tokenizer' must be an object"},
      {"/tokenizer/size", 0, "'size' must be 1 or more"},
      {"/tokenizer/size", std::int64_t{1} << 40, "'size' must be a smaller number"},
      {"/tokenizer/hash", 5, "'hash' must be a text"},
  };
  for (const auto& [pointer, value, sentence] : cases) {
    Json json = good;
    json[Json::json_pointer(pointer)] = value;
    scratch.file("dataset.json", json_text(json));
    CHECK_THROWS_WITH(read_dataset(scratch.path), Contains("dataset.json") && Contains(sentence));
  }
  scratch.file("dataset.json", "{\"format\": ");
  CHECK_THROWS_WITH(read_dataset(scratch.path), Contains("it is not JSON at byte"));
  CHECK_THROWS_WITH(read_dataset(scratch.path / "none"), Contains("there is no dataset"));
  CHECK_THROWS_WITH(read_dataset(scratch.path / "dataset.json"), Contains("is a file"));
}

TEST_CASE("llm.c's shards are found by their names and told by their headers") {
  const ScratchDirectory scratch;
  write(scratch.path / "fineweb_train_000002.bin", {3, 4});
  write(scratch.path / "fineweb_train_000001.bin", {1, 2});
  write(scratch.path / "fineweb_val_000000.bin", {5});
  scratch.file("notes.txt", "");
  scratch.file("model.bin", "");
  scratch.file(".train.bin", "");
  const Dataset dataset = read_dataset(scratch.path);
  CHECK(dataset.kind == DatasetKind::llmc);
  CHECK(names(dataset.train) == Names{"fineweb_train_000001.bin", "fineweb_train_000002.bin"});
  CHECK(names(dataset.validation) == Names{"fineweb_val_000000.bin"});
  CHECK_FALSE(dataset.vocab);
  CHECK(all_of(open_shards(dataset, dataset.train, 10).shards) == std::vector<std::int32_t>{1, 2, 3, 4});
  scratch.file("hellaswag_val.bin", llmc_header_bytes(20240522, 1, 1));
  const Dataset with_questions = read_dataset(scratch.path);
  CHECK_THROWS_WITH(open_shards(with_questions, with_questions.validation, 10),
                    Contains("questions for an evaluation"));
}

TEST_CASE("train.bin is nanoGPT's where it has no header") {
  const ScratchDirectory scratch;
  scratch.file("train.bin", bytes_of<std::uint16_t>({9, 8, 7}));
  scratch.file("val.bin", bytes_of<std::uint16_t>({6, 5}));
  scratch.file("old_train.bin", "odd");
  const Dataset dataset = read_dataset(scratch.path);
  CHECK(dataset.kind == DatasetKind::nanogpt);
  CHECK(names(dataset.train) == Names{"train.bin"});
  CHECK(all_of(open_shards(dataset, dataset.train, 10).shards) == std::vector<std::int32_t>{9, 8, 7});
  CHECK(all_of(open_shards(dataset, dataset.validation, 10).shards) == std::vector<std::int32_t>{6, 5});
  std::filesystem::remove(scratch.path / "old_train.bin");
  write(scratch.path / "train.bin", {1, 2});
  write(scratch.path / "val.bin", {3});
  CHECK(read_dataset(scratch.path).kind == DatasetKind::llmc);
}

TEST_CASE("raw shards are described by dataset_metadata.json") {
  const ScratchDirectory scratch;
  scratch.file("shard_train_0.bin", bytes_of<std::uint32_t>({70000, 1}));
  scratch.file("a_val.bin", bytes_of<std::uint32_t>({2}));
  scratch.file("c.bin", bytes_of<std::uint32_t>({3, 4}));
  const auto with = [&](const Json& json) {
    scratch.file("dataset_metadata.json", json_text(json));
    return read_dataset(scratch.path);
  };
  const Dataset by_name = with({{"vocab_size", 70001}, {"dtype", "uint32"}, {"total_tokens", 5}});
  CHECK(by_name.kind == DatasetKind::raw);
  CHECK(by_name.vocab == 70001);
  CHECK(names(by_name.train) == Names{"shard_train_0.bin"});
  CHECK(names(by_name.validation) == Names{"a_val.bin"});
  CHECK(all_of(open_shards(by_name, by_name.train, 70001).shards) == std::vector<std::int32_t>{70000, 1});

  const Dataset listed =
      with({{"shards", {"c.bin", {{"filename", "shard_train_0.bin"}, {"num_tokens", 2}}, {{"name", "a_val.bin"}}}}});
  CHECK_FALSE(listed.vocab);
  CHECK(names(listed.train) == Names{"c.bin", "shard_train_0.bin"});
  CHECK(names(listed.validation) == Names{"a_val.bin"});
  CHECK(listed.train.shards[1].tokens == 2);
  CHECK(all_of(open_shards(listed, listed.train, 70001).shards) == std::vector<std::int32_t>{3, 4, 70000, 1});

  const Dataset wrong = with({{"shards", {{{"file", "c.bin"}, {"tokens", 3}}}}});
  CHECK_THROWS_WITH(open_shards(wrong, wrong.train, 70001),
                    Contains("c.bin has changed") && Contains("2 tokens instead of 3"));
  CHECK_THROWS_WITH(with({{"dtype", "float32"}}), Contains("'dtype' float32"));
  CHECK_THROWS_WITH(with({{"vocab_size", 0}}), Contains("'vocab_size' must be 1 or more"));
  CHECK_THROWS_WITH(with({{"shards", {1}}}), Contains("names or objects"));
  CHECK_THROWS_WITH(with({{"shards", "c.bin"}}), Contains("'shards' must be a list"));
  CHECK_THROWS_WITH(with({{"shards", {Json::object()}}}), Contains("'file' is missing"));
  CHECK_THROWS_WITH(with({{"shards", {"../c.bin"}}}), Contains("plain name"));
  const Dataset half = with({{"dtype", "uint16"}, {"shards", {"c.bin"}}});
  CHECK(all_of(open_shards(half, half.train, 70001).shards) == std::vector<std::int32_t>{3, 0, 4, 0});
}

TEST_CASE("a directory without data says what would be data") {
  const ScratchDirectory scratch;
  CHECK_THROWS_WITH(read_dataset(scratch.path), Contains("holds no data") && Contains("tinygpt prepare"));
  scratch.file("train.bin", "");
  CHECK_THROWS_WITH(read_dataset(scratch.path), Contains("train.bin is empty"));
}
