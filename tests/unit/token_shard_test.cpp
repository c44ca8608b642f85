#include <catch.hpp>

#include <sys/wait.h>

#include <functional>
#include <numeric>

#include <counted_memory.hpp>
#include <scratch.hpp>
#include <shards.hpp>

#include <tinygpt/data/token_shard.hpp>
#include <tinygpt/io/shard_writer.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

const std::string u16 = llmc_shard_bytes({1, 2, 3, 65535});
const std::string u32 = llmc_header_bytes(20240801, 7, 3) + bytes_of<std::uint32_t>({5, 128255, 2147483647});

std::vector<std::int32_t> all_of(const TokenShard& shard) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(shard.size()));
  shard.read(0, tokens);
  return tokens;
}

std::string with(std::string bytes, std::size_t at, std::int32_t word) {
  std::memcpy(bytes.data() + at, &word, sizeof word);
  return bytes;
}

/// The sentence with which opening and validating these bytes ends.
std::string fault_of(const std::string& bytes, int vocab, std::optional<ShardFormat> format = std::nullopt) {
  const ScratchDirectory scratch;
  const auto path = scratch.file("a.bin", bytes);
  CHECK(peak_bytes_of([&] { TokenShard::open(path, format).validate(vocab); }) <= most_bytes_for(bytes.size()));
  try {
    TokenShard::open(path, format).validate(vocab);
  } catch (const DamagedFile& error) {
    return error.what();
  }
  return "";
}

/// A file of that many bytes, of which only the last ones take room on the disk.
std::filesystem::path sparse(const ScratchDirectory& scratch, const std::string& front, std::int64_t size,
                             const std::string& back) {
  const auto path = scratch.file("sparse.bin", front);
  std::filesystem::resize_file(path, static_cast<std::uintmax_t>(size));
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(size - static_cast<std::int64_t>(back.size()));
  file << back;
  return path;
}

}  // namespace

TEST_CASE("a shard of each format gives back the tokens that were written") {
  const std::vector<std::int32_t> tokens{0, 1, 50256, 65535, 7};
  for (const auto format :
       {ShardFormat::llmc_uint16, ShardFormat::llmc_uint32, ShardFormat::raw_uint16, ShardFormat::raw_uint32}) {
    const ScratchDirectory scratch;
    const auto path = scratch.path / "t.bin";
    ShardWriter writer(path, format);
    writer.write(std::span(tokens).first(2));
    CHECK_FALSE(std::filesystem::exists(path));
    writer.write(std::span(tokens).subspan(2));
    writer.finish();
    CHECK(writer.tokens() == 5);
    CHECK(writer.bytes() == static_cast<std::int64_t>(std::filesystem::file_size(path)));
    CHECK(std::distance(std::filesystem::directory_iterator(scratch.path), {}) == 1);

    const std::string bytes = read_small_file(path);
    CHECK(writer.crc() == crc32c(std::as_bytes(std::span(bytes.data(), bytes.size()))));
    if (shard::has_header(format)) {
      CHECK(bytes.substr(0, 1024) == (format == ShardFormat::llmc_uint16 ? llmc_header_bytes(20240520, 1, 5)
                                                                         : llmc_header_bytes(20240801, 7, 5)));
      CHECK(TokenShard::open(path).format() == format);
      CHECK(TokenShard::format_of(path) == format);
    } else {
      CHECK_FALSE(TokenShard::format_of(path));
    }
    const auto shard = TokenShard::open(path, format);
    CHECK(shard.size() == 5);
    CHECK(all_of(shard) == tokens);
    CHECK_NOTHROW(shard.validate(65536));
    std::vector<std::int32_t> two(2);
    CHECK(shard.read(1, two) == 50256);
    CHECK(two == std::vector<std::int32_t>{1, 50256});
    CHECK(shard.read(5, {}) == 0);
    CHECK_THROWS_AS(shard.read(4, two), std::out_of_range);
    CHECK_THROWS_AS(shard.read(-1, two), std::out_of_range);
    CHECK_THROWS_AS(shard.read(6, {}), std::out_of_range);
  }
}

TEST_CASE("validation shows every byte of the file once, in order") {
  const ScratchDirectory scratch;
  std::vector<std::int32_t> tokens(700'001);
  std::iota(tokens.begin(), tokens.end(), 0);
  ShardWriter writer(scratch.path / "t.bin", ShardFormat::llmc_uint32);
  writer.write(tokens);
  writer.finish();
  Crc32c crc;
  TokenShard::open(scratch.path / "t.bin").validate(700'001, [&](auto bytes) { crc.update(bytes); });
  CHECK(crc.value() == writer.crc());
  CHECK_THROWS_WITH(TokenShard::open(scratch.path / "t.bin").validate(700'000),
                    Contains("token 700000, at byte 2801024, is 700000") && Contains("700000 ids, to 699999"));
}

TEST_CASE("what a shard cannot hold is refused when it is written, and leaves nothing") {
  const ScratchDirectory scratch;
  const auto write = [&](ShardFormat format, std::vector<std::int32_t> tokens) {
    ShardWriter writer(scratch.path / "t.bin", format);
    writer.write(tokens);
    writer.finish();
  };
  CHECK_THROWS_WITH(write(ShardFormat::llmc_uint16, {1, 65536}), Contains("token 1 is 65536"));
  CHECK_THROWS_WITH(write(ShardFormat::raw_uint32, {-1}), Contains("token 0 is -1"));
  CHECK_THROWS_WITH(write(ShardFormat::raw_uint16, {}), Contains("no tokens"));
  CHECK(std::filesystem::is_empty(scratch.path));
  CHECK_THROWS_WITH(ShardWriter(scratch.path / "no" / "t.bin", ShardFormat::raw_uint16),
                    Contains("no such file or directory"));
}

TEST_CASE("the format that holds a vocabulary is the smallest") {
  CHECK(shard::llmc_format(256) == ShardFormat::llmc_uint16);
  CHECK(shard::llmc_format(65536) == ShardFormat::llmc_uint16);
  CHECK(shard::llmc_format(65537) == ShardFormat::llmc_uint32);
}

TEST_CASE("every way in which a shard can be wrong is a sentence with the byte") {
  using F = ShardFormat;
  struct Bad {
    std::string bytes;
    int vocab;
    std::optional<F> format;
    const char* sentence;
  };
  const std::string raw32 = bytes_of<std::uint32_t>({1, 2, 3});
  const Bad cases[] = {
      // Too short for a header.
      {"", 9, {}, "is empty"},
      {"", 9, F::raw_uint16, "is empty"},
      {"", 9, F::raw_uint32, "is empty"},
      {"x", 9, {}, "ends at byte 1, inside the header"},
      {u16.substr(0, 3), 9, {}, "ends at byte 3, inside the header"},
      {u16.substr(0, 4), 9, {}, "ends at byte 4, inside the header"},
      {u16.substr(0, 11), 9, {}, "ends at byte 11, inside the header"},
      {u16.substr(0, 1023), 9, {}, "ends at byte 1023, inside the header"},
      // Another magic number.
      {with(u16, 0, 0), 9, {}, "at byte 0 it has 0 instead of"},
      {with(u16, 0, -1), 9, {}, "at byte 0 it has 4294967295 instead of"},
      {with(u16, 0, 0x28D83401), 9, {}, "at byte 0 it has"},  // the right one, big-endian
      {with(u16, 0, 20240522), 9, {}, "questions for an evaluation"},
      {with(u16, 0, 20240326), 9, {}, "at byte 0 it has 20240326, so it holds a model"},
      {with(u16, 0, 20240327), 9, {}, "the debug state"},
      {with(u16, 0, 20240328), 9, {}, "so it holds a tokenizer"},
      {with(u16, 0, 20240527), 9, {}, "the state of an optimizer"},
      {"The quick brown fox", 9, {}, "is no token shard: at byte 0"},
      {u16, 65536, F::llmc_uint32, "at byte 0 it has 20240520 instead of 20240801"},
      {u32, 65536, F::llmc_uint16, "at byte 0 it has 20240801 instead of 20240520"},
      // Another version.
      {with(u16, 4, 0), 9, {}, "at byte 4 it has version 0 instead of 1"},
      {with(u16, 4, 7), 9, {}, "at byte 4 it has version 7 instead of 1"},
      {with(u32, 4, 1), 9, {}, "at byte 4 it has version 1 instead of 7"},
      {with(u32, 4, -7), 9, {}, "at byte 4 it has version -7"},
      // A count that lies.
      {with(u16, 8, 0), 9, {}, "at byte 8 it counts no tokens"},
      {with(u16, 8, -1), 9, {}, "at byte 8 it counts -1 tokens"},
      {with(u16, 8, -2147483647 - 1), 9, {}, "at byte 8 it counts -2147483648 tokens"},
      {with(u16, 8, 5), 9, {}, "ends at byte 1032, but the 5 tokens that it counts at byte 8 end at byte 1034"},
      {with(u16, 8, 2147483647), 9, {}, "ends at byte 1032, but the 2147483647 tokens"},
      {with(u32, 8, 2147483647), 9, {}, "end at byte 8589935612"},
      {with(u16, 8, 3), 9, {}, "end at byte 1030, but 2 bytes follow"},
      {llmc_header_bytes(20240520, 1, 0), 9, {}, "counts no tokens"},
      {llmc_header_bytes(20240520, 1, 4), 9, {}, "ends at byte 1024, but the 4 tokens"},
      // Cut or continued.
      {u16.substr(0, u16.size() - 1), 9, {}, "ends at byte 1031"},
      {u32.substr(0, u32.size() - 3), 9, {}, "ends at byte 1033"},
      {u16 + 'x', 9, {}, "but 1 bytes follow"},
      {u16 + u16, 9, {}, "but 1032 bytes follow"},
      {"x", 9, F::raw_uint16, "begins at byte 0 and is cut off after 1"},
      {"abcde", 9, F::raw_uint16, "of 2 bytes, begins at byte 4 and is cut off after 1"},
      {raw32 + "ab", 9, F::raw_uint32, "of 4 bytes, begins at byte 12 and is cut off after 2"},
      // Ids outside of the vocabulary.
      {u16, 65535, {}, "token 3, at byte 1030, is 65535, but the vocabulary has 65535 ids, to 65534"},
      {u16, 1, {}, "token 0, at byte 1024, is 1"},
      {llmc_shard_bytes({1, 7, 9, 8}), 8, {}, "token 2, at byte 1028, is 9"},
      {u32, 128256, {}, "token 2, at byte 1032, is 2147483647"},
      {bytes_of<std::uint16_t>({0, 50257}), 50257, F::raw_uint16, "token 1, at byte 2, is 50257"},
      {bytes_of<std::uint32_t>({0, 1, 4294967295u}), 50257, F::raw_uint32, "token 2, at byte 8, is 4294967295"},
  };
  CHECK(std::size(cases) >= 25);
  for (const auto& [bytes, vocab, format, sentence] : cases) {
    CHECK_THAT(fault_of(bytes, vocab, format), Contains(sentence) && Contains("a.bin"));
  }
  CHECK(fault_of(u16, 65536).empty());
  CHECK(fault_of(u32, 2147483647) != "");
}

TEST_CASE("an id beyond a signed number is noticed when it is read") {
  const ScratchDirectory scratch;
  const auto shard =
      TokenShard::open(scratch.file("a.bin", bytes_of<std::uint32_t>({1, 2, 2147483648u})), ShardFormat::raw_uint32);
  std::vector<std::int32_t> tokens(3);
  CHECK_THROWS_WITH(shard.read(0, tokens), Contains("token 2, at byte 8, is 2147483648"));
  CHECK(shard.read(0, std::span(tokens).first(2)) == 2);
}

TEST_CASE("what is no file is refused in a sentence") {
  const ScratchDirectory scratch;
  CHECK_THROWS_WITH(TokenShard::open(scratch.path / "none.bin"), Contains("no such file"));
  CHECK_THROWS_WITH(TokenShard::open(scratch.path), Contains("directory"));
  CHECK_THROWS_WITH(TokenShard::open("/dev/null"), Contains("not a regular file"));
  CHECK_THROWS_WITH(TokenShard::open(scratch.file("x", "") / "y"), Contains("a part of the path is a file"));
  const auto pipe = scratch.path / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK_THROWS_WITH(TokenShard::open(pipe), Contains("not a regular file"));
}

TEST_CASE("shards larger than four gigabytes are read at their end") {
  const ScratchDirectory scratch;
  const auto last = bytes_of<std::uint16_t>({11, 22, 33});
  SECTION("raw, with more tokens than a 32-bit number counts") {
    const std::int64_t tokens = (std::int64_t{1} << 32) + 5;
    const auto shard = TokenShard::open(sparse(scratch, "", 2 * tokens, last), ShardFormat::raw_uint16);
    CHECK(shard.size() == tokens);
    std::vector<std::int32_t> three(3);
    CHECK(shard.read(tokens - 3, three) == 33);
    CHECK(three == std::vector<std::int32_t>{11, 22, 33});
  }
  SECTION("as many tokens as a header can count") {
    const auto shard = TokenShard::open(sparse(scratch, llmc_header_bytes(20240801, 7, 2147483647),
                                               1024 + 4 * std::int64_t{2147483647}, bytes_of<std::uint32_t>({44})));
    std::vector<std::int32_t> one(1);
    CHECK(shard.read(2147483646, one) == 44);
    CHECK(shard.offset(2147483646) == 1024 + 4 * std::int64_t{2147483646});
  }
}

TEST_CASE("a file that becomes shorter while it is read is an error, not the end of the program") {
  const ScratchDirectory scratch;
  std::vector<std::uint16_t> many(100'000, 3);
  const auto path = scratch.file("a.bin", llmc_shard_bytes(many));
  const auto shard = TokenShard::open(path);
  std::vector<std::int32_t> tokens(50);
  CHECK(shard.read(99'000, tokens) == 3);
  std::filesystem::resize_file(path, 4096);
  CHECK_THROWS_WITH(shard.read(99'000, tokens), Contains("a.bin") && Contains("became shorter"));
  CHECK_THROWS_AS(shard.validate(4), DamagedFile);
  CHECK(shard.read(0, tokens) == 3);
  // A second fault, after the first, and in a process whose other bus errors still end it.
  CHECK_THROWS_AS(shard.read(50'000, tokens), DamagedFile);
  const pid_t child = ::fork();
  if (child == 0) {
    ::raise(SIGBUS);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK_FALSE((WIFEXITED(status) && WEXITSTATUS(status) == 0));  // a sanitizer makes a report of it
}

TEST_CASE("a shard whose ids change while it is open is noticed by the largest that is read") {
  const ScratchDirectory scratch;
  const auto path = scratch.file("a.bin", llmc_shard_bytes({1, 2, 3}));
  const auto shard = TokenShard::open(path);
  shard.validate(4);
  std::fstream(path, std::ios::binary | std::ios::in | std::ios::out).seekp(1026) << '\x09';
  std::vector<std::int32_t> tokens(3);
  CHECK(shard.read(0, tokens) == 9);
}

TEST_CASE("the checksum of a changed beginning follows from the change alone") {
  const auto of = [](const std::string& text) { return crc32c(std::as_bytes(std::span(text.data(), text.size()))); };
  for (const std::size_t rest : {0u, 1u, 7u, 8u, 1000u, 65536u}) {
    const std::string tail(rest, 'q');
    CHECK(of("other" + tail) == (of("first" + tail) ^ crc32c_carried(of("other") ^ of("first"), rest)));
  }
}
