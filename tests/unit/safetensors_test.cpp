#include <catch.hpp>

#include <fstream>
#include <random>

#include <tinygpt/io/atomic_directory.hpp>
#include <tinygpt/io/safetensors.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

std::filesystem::path file_with(const std::string& content) {
  const auto path = std::filesystem::temp_directory_path() / ("tinygpt-" + std::to_string(::getpid()) + ".safetensors");
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

std::string length(std::uint64_t n) { return std::string(reinterpret_cast<const char*>(&n), 8); }

/// A file with this header and so many bytes of data.
std::filesystem::path with_header(const std::string& header, std::size_t data) {
  return file_with(length(header.size()) + header + std::string(data, '\0'));
}

std::string tensor(const std::string& name, const std::string& shape, const std::string& offsets,
                   const std::string& dtype = "F32") {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

struct Bad {
  std::string header;
  std::size_t data;
  std::string sentence;
};

}  // namespace

TEST_CASE("CRC-32C has its check values") {
  const auto crc = [](std::string_view text) { return crc32c(std::as_bytes(std::span(text.data(), text.size()))); };
  CHECK(crc("") == 0);
  CHECK(crc("123456789") == 0xE3069283u);
  CHECK(crc(std::string(32, '\0')) == 0x8A9136AAu);  // RFC 3720, B.4
  CHECK(crc(std::string(32, '\xFF')) == 0x62A8AB43u);
  Crc32c pieces;
  for (const char c : std::string("123456789")) pieces.update(std::as_bytes(std::span(&c, 1)));
  CHECK(crc_text(pieces.value()) == "e3069283");
}

TEST_CASE("tensors in parts come back, whatever the order in which they are asked for") {
  std::vector<float> a(6), b(4), c(1, 7.f);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i) + 0.5f;
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = -static_cast<float>(i);
  const auto path = file_with("");
  OutputFile file(path);
  using Part = std::span<const float>;
  write_safetensors(
      file, {{"b", {2, 2}, {Part(b).first(2), Part(b).last(2)}}, {"a", {2, 3}, {Part(a)}}, {"c", {}, {Part(c)}}});
  file.finish();

  SafetensorsReader reader(path);
  REQUIRE(reader.entries().size() == 3);
  CHECK(reader.entries()[0].name == "a");
  CHECK(reader.entries()[0].shape == std::vector<std::int64_t>{2, 3});
  std::vector<float> a2(6), b2(4), c2(1);
  CHECK(reader.read(
            {{"c", {}, {c2}}, {"a", {2, 3}, {std::span(a2).first(1), std::span(a2).last(5)}}, {"b", {2, 2}, {b2}}}) ==
        file.crc());
  CHECK(a2 == a);
  CHECK(b2 == b);
  CHECK(c2 == c);
  // The header is padded so that the data begins at a multiple of eight.
  std::ifstream raw(path, std::ios::binary);
  std::uint64_t n = 0;
  raw.read(reinterpret_cast<char*>(&n), 8);
  CHECK(n % 8 == 0);
}

TEST_CASE("every bad safetensors file is refused in one sentence that names it") {
  const std::string good = tensor("x", "[2]", "[0,8]");
  const std::vector<Bad> cases{
      {"", 0, "begin with {"},
      {" {}", 0, "begin with {"},
      {"[]", 0, "begin with {"},
      {"{", 0, "not JSON"},
      {"{}x", 0, "not JSON"},
      {"{\"x\":1}", 0, "must have dtype"},
      {"{\"x\":{}}", 0, "must have dtype"},
      {"{\"x\":[]}", 0, "must have dtype"},
      {"{" + tensor("x", "[2]", "[0,8]") + ",\"y\":{\"dtype\":\"F32\",\"shape\":[0]}}", 8, "must have dtype"},
      {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"more\":1}}", 8, "nothing else"},
      {"{" + tensor("x", "[2]", "[0,8]", "F64") + "}", 8, "type F64"},
      {"{" + tensor("x", "[2]", "[0,8]", "") + "}", 8, "only F32"},
      {"{\"x\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "only F32"},
      {"{" + tensor("x", "2", "[0,8]") + "}", 8, "no proper shape"},
      {"{" + tensor("x", "{}", "[0,8]") + "}", 8, "no proper shape"},
      {"{" + tensor("x", "[1,1,1,1,1,1,1,1,2]", "[0,8]") + "}", 8, "no proper shape"},
      {"{" + tensor("x", "[-2]", "[0,8]") + "}", 8, "not a size"},
      {"{" + tensor("x", "[2.0]", "[0,8]") + "}", 8, "not a size"},
      {"{" + tensor("x", "[\"2\"]", "[0,8]") + "}", 8, "not a size"},
      {"{" + tensor("x", "[null]", "[0,8]") + "}", 8, "not a size"},
      {"{" + tensor("x", "[18446744073709551615]", "[0,8]") + "}", 8, "not a size"},
      {"{" + tensor("x", "[4611686018427387905]", "[0,4]") + "}", 4, "not a size"},
      {"{" + tensor("x", "[1e400]", "[0,8]") + "}", 8, "damaged"},
      {"{" + tensor("x", "[3]", "[0,8]") + "}", 8, "do not fit its shape (3)"},
      {"{" + tensor("x", "[0]", "[0,8]") + "}", 8, "do not fit"},
      {"{" + tensor("x", "[2]", "[8,0]") + "}", 8, "do not fit"},
      {"{" + tensor("x", "[2]", "[0,9]") + "}", 8, "not a size"},
      {"{" + tensor("x", "[2]", "[-8,0]") + "}", 8, "not a size"},
      {"{" + tensor("x", "[2]", "[0]") + "}", 8, "data_offsets"},
      {"{" + tensor("x", "[2]", "[0,4,8]") + "}", 8, "data_offsets"},
      {"{" + tensor("x", "[2]", "\"0,8\"") + "}", 8, "data_offsets"},
      {"{" + tensor("x", "[2]", "[0,18446744073709551615]") + "}", 8, "not a size"},
      {"{" + good + "," + tensor("y", "[2]", "[4,12]") + "}", 12, "overlaps"},
      {"{" + good + "," + tensor("y", "[2]", "[0,8]") + "}", 8, "overlaps"},
      {"{" + good + "," + tensor("y", "[2]", "[12,20]") + "}", 20, "hole"},
      {"{" + tensor("x", "[2]", "[4,12]") + "}", 12, "hole"},
      {"{" + good + "}", 12, "have 8 bytes, but it holds 12"},
      {"{}", 4, "have 0 bytes"},
      {"{" + good + "," + good + "}", 8, "'x' twice"},
      {"{\"x\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "twice"},
      {"{\"__metadata__\":{\"format\":1}," + good + "}", 8, "__metadata__"},
      {"{\"__metadata__\":[]," + good + "}", 8, "__metadata__"},
      {"{\"\xFF\":1}", 0, "not UTF-8"},
      {"{\"\\ud800\":1}", 0, "not JSON"},
      {"{\"x\":" + std::string(100, '[') + std::string(100, ']') + "}", 0, "too deeply"},
      {"{\"x\":" + std::string(1'000'000, '[') + "}", 0, "too deeply"},
      {"{\"\\u001b]0;\":1}", 0, "\\x1b"},
  };
  for (const auto& bad : cases) {
    INFO(bad.header.substr(0, 200));
    const auto path = with_header(bad.header, bad.data);
    CHECK_THROWS_AS(SafetensorsReader(path), DamagedFile);
    CHECK_THROWS_WITH(SafetensorsReader(path), Contains(bad.sentence) && Contains(path.string()));
  }
}

TEST_CASE("the length of a header is checked before memory is taken for it") {
  for (const auto n : {std::uint64_t{3}, std::uint64_t{1} << 20, std::uint64_t{100'000'000}, std::uint64_t{1} << 40,
                       ~std::uint64_t{0}}) {
    CHECK_THROWS_WITH(SafetensorsReader(file_with(length(n) + "{}")), Contains("header would have"));
  }
  for (std::size_t n = 0; n < 8; ++n) {
    CHECK_THROWS_WITH(SafetensorsReader(file_with(std::string(n, '\0'))), Contains("half-written"));
  }
  CHECK(SafetensorsReader(with_header("{}      ", 0)).entries().empty());
}

TEST_CASE("what is no regular file is refused") {
  CHECK_THROWS_WITH(SafetensorsReader("/dev/zero"), Contains("not a regular file"));
  CHECK_THROWS_WITH(SafetensorsReader("/tmp"), Contains("directory"));
  CHECK_THROWS_WITH(SafetensorsReader("/nonexistent"), Contains("no such file"));
}

TEST_CASE("tensors that are missing, too many or of another shape are named") {
  const auto path = with_header("{" + tensor("x", "[2]", "[0,8]") + "}", 8);
  std::vector<float> two(2), four(4);
  CHECK_THROWS_WITH(SafetensorsReader(path).read({}), Contains("has a tensor 'x'"));
  CHECK_THROWS_WITH(SafetensorsReader(path).read({{"x", {4}, {four}}}), Contains("(2)") && Contains("(4)"));
  CHECK_THROWS_WITH(SafetensorsReader(path).read({{"x", {2}, {two}}, {"y", {4}, {four}}}), Contains("'y' is missing"));
  CHECK_NOTHROW(SafetensorsReader(path).read({{"x", {2}, {two}}}));
}

TEST_CASE("no file that differs in some bytes from a good one does more than throw") {
  std::mt19937 random(1);
  const std::string header = "{\"__metadata__\":{\"format\":\"pt\"}," + tensor("x", "[2,3]", "[0,24]") + "," +
                             tensor("y", "[]", "[24,28]") + "}";
  const std::string good = length(header.size()) + header + std::string(28, '\1');
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = good;
    for (unsigned n = random() % 4 + 1; n > 0; --n) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (random() % 8 == 0) bytes.resize(random() % bytes.size());
    const std::string_view text = bytes;
    try {
      if (text.size() > 8) {
        const auto n = std::min<std::size_t>(header.size(), text.size() - 8);
        safetensors::parse_header(text.substr(8, n), static_cast<std::int64_t>(text.size() - 8 - n), "mutated");
        ++accepted;
      }
    } catch (const DamagedFile&) {
    }
  }
  CHECK(accepted < 20'000);
}
