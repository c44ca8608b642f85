// What a file is by its first bytes, which files are opened, and how wide raw ids are.
#include <catch.hpp>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <fstream>
#include <string>

#include <scratch.hpp>
#include <tinygpt/data/file_kind.hpp>
#include <tinygpt/data/regular_file.hpp>
#include <tinygpt/data/text_file.hpp>
#include <tinygpt/io/dataset_shards.hpp>

using namespace tinygpt;
using namespace std::string_literals;
using Catch::Matchers::Contains;

namespace {

std::string name_of(std::string_view bytes) {
  const auto kind = kind_of(bytes);
  return kind ? kind->name : "text";
}

/// Each character as `width` bytes, the low one first or last.
std::string widened(std::string_view text, int width, bool low_first) {
  std::string out;
  for (const char c : text) {
    std::string unit(static_cast<std::size_t>(width), '\0');
    unit[low_first ? 0 : static_cast<std::size_t>(width) - 1] = c;
    out += unit;
  }
  return out;
}

template <class N> std::string raw(const std::vector<std::uint32_t>& ids) {
  std::string bytes;
  for (const auto id : ids) {
    const auto n = static_cast<N>(id);
    bytes.append(reinterpret_cast<const char*>(&n), sizeof n);
  }
  return bytes;
}

}  // namespace

TEST_CASE("kinds of files are told by their first bytes") {
  CHECK(name_of("\x1F\x8B\x08") == "gzip"s);
  CHECK(name_of("\x28\xB5\x2F\xFD") == "zstd"s);
  for (char c = 0x50; c <= 0x5F; ++c) CHECK(name_of(c + "\x2A\x4D\x18\x04"s) == "zstd"s);
  CHECK(name_of("\x60\x2A\x4D\x18"s) == "text"s);
  CHECK(name_of("\xFF\xFEh\0"s) == "UTF-16"s);
  CHECK(name_of("\xFF\xFE\0\0h\0\0\0"s) == "UTF-32"s);
  CHECK(name_of("\xFE\xFF\0h"s) == "UTF-16"s);
  CHECK(name_of("\xFF\xD8\xFF\xE1") == "a JPEG image"s);
  CHECK(name_of("%PDF-1.4\n%\xE2\xE3\xCF\xD3\n1 0 obj") == "a PDF"s);
  CHECK(name_of("%PDF-1.4 is a version of a format, and this is text.") == "text"s);
  CHECK(name_of(std::string(257, '\0') + "ustar") == "a tar archive"s);
  const std::string text = "A line of plain text, long enough.\nAnd another one.\n";
  for (const bool low_first : {true, false}) {
    CHECK(name_of(widened(text, 2, low_first)) == "UTF-16"s);
    CHECK(name_of(widened(text, 4, low_first)) == "UTF-32"s);
  }
}

TEST_CASE("text is no other kind, also where it is cut within a character or has zero bytes") {
  for (const std::string& text :
       {""s, "a"s, "\xEF\xBB\xBFtext"s, "a\0b"s, "\0"s, "BM and MZ"s, "ID3 and OggS\n"s, "GIF89a"s}) {
    CHECK(name_of(text) == "text"s);
  }
  std::string smileys;
  while (smileys.size() < 10'000) smileys += "\xF0\x9F\x98\x80";
  for (std::size_t n = 4093; n < 4100; ++n) CHECK(name_of("BM" + smileys.substr(0, n)) == "text"s);
}

TEST_CASE("only regular files are opened, and no other one is waited for") {
  const ScratchDirectory scratch;
  const auto pipe = scratch.path / "pipe", socket = scratch.path / "socket";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const Descriptor listening(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(socket.string().copy(address.sun_path, sizeof address.sun_path - 1) == socket.string().size());
  REQUIRE(::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  for (const std::filesystem::path& path : {pipe, socket, std::filesystem::path("/dev/zero")}) {
    CHECK_THROWS_WITH(open_regular(path), Contains("is not a regular file"));
    CHECK_THROWS_WITH(read_text_file(path), Contains("is not a regular file"));
  }
  CHECK_THROWS_WITH(open_regular(scratch.path), Contains("is a directory"));
  CHECK(open_regular(scratch.file("file", "four")).second == 4);
}

TEST_CASE("raw ids of four bytes are never read as two") {
  const ScratchDirectory scratch;
  std::vector<std::uint32_t> ids;
  for (std::uint32_t i = 0; i < 2000; ++i) ids.push_back(i * 7919 % 70'000);
  const auto wide = scratch.file("train.bin", raw<std::uint32_t>(ids));
  scratch.file("val.bin", raw<std::uint32_t>({1, 2, 3}));  // too short to show its width
  CHECK(TokenShard::is_raw_uint32(wide));
  const Dataset dataset = read_dataset(scratch.path);
  const auto opened = open_shards(dataset, dataset.train, 70'000);
  REQUIRE(opened.shards.size() == 1);
  REQUIRE(opened.shards[0].size() == 2000);
  std::vector<std::int32_t> read(2000);
  opened.shards[0].read(0, read);
  CHECK(std::equal(ids.begin(), ids.end(), read.begin(),
                   [](auto a, auto b) { return static_cast<std::int32_t>(a) == b; }));
  CHECK(open_shards(dataset, dataset.validation, 70'000).tokens() == 3);

  const auto narrow = scratch.file("train.bin", raw<std::uint16_t>(ids));
  CHECK_FALSE(TokenShard::is_raw_uint32(narrow));
  const Dataset of_two = read_dataset(scratch.path);
  CHECK(open_shards(of_two, of_two.train, 65'536).tokens() == 2000);
  CHECK_THROWS_WITH(open_shards(of_two, of_two.train, 70'000), Contains("cannot hold the ids of a tokenizer of 70000"));
}
