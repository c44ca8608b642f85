#include <catch.hpp>

#include <fstream>
#include <random>

#include <tinygpt/io/atomic_directory.hpp>
#include <tinygpt/io/safetensors.hpp>

#include <counted_memory.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;
using Catch::Matchers::Matches;

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

TEST_CASE("CRC-32C is the same by the processor's instruction as by the table, at any length and in any pieces") {
  std::mt19937 random(3);
  std::vector<std::byte> bytes(40'000);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  for (int i = 0; i < 300; ++i) {
    const auto some =
        std::span(bytes).subspan(random() % 100, i < 100 ? static_cast<std::size_t>(i) : random() % 30'000);
    Crc32c table, pieces;
    table.update_by_table(some);
    const std::size_t cut = some.empty() ? 0 : random() % some.size();
    pieces.update(some.first(cut));
    pieces.update(some.subspan(cut));
    CHECK(crc32c(some) == table.value());
    Crc32c first, second;
    first.update(some.first(cut));
    second.update(some.subspan(cut));
    first.append(second, some.size() - cut);
    CHECK(first.value() == table.value());
    CHECK(pieces.value() == table.value());
  }
}

TEST_CASE("tensors in parts come back, whatever the order in which they are asked for, and wherever they lie") {
  std::vector<float> a(6), b(4), c(1, 7.f);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i) + 0.5f;
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = -static_cast<float>(i);
  using Part = ArenaMatrix;
  const MappedTensor in_a{"a", {2, 3}, {Part{0, 2, 3}}}, turned_a{"a", {2, 3}, {Part{0, 3, 2, true}}},
      in_b{"b", {2, 2}, {Part{0, 1, 2}, Part{2, 1, 2}}}, in_c{"c", {}, {Part{0, 1, 1}}};
  const ForeignMemory elsewhere{
      [](std::span<float> to, const float* from) { std::memcpy(to.data(), from, to.size_bytes()); },
      [](float* to, std::span<const float> from) { std::memcpy(to, from.data(), from.size_bytes()); }};
  for (const ForeignMemory* const memory : {static_cast<const ForeignMemory*>(nullptr), &elsewhere}) {
    for (const StoredType type : {StoredType::float32, StoredType::bfloat16, StoredType::float16}) {
      const auto path = file_with("");
      std::filesystem::remove(path);
      OutputFile file(path);
      write_safetensors(file, {{in_b, b}, {in_a, a}, {in_c, c}}, type, memory);
      file.finish();

      const SafetensorsReader reader(path);
      REQUIRE(reader.entries().size() == 3);
      CHECK(reader.entries()[0].name == "a");
      CHECK(reader.entries()[0].type == safetensors::name_of(type));
      CHECK(reader.entries()[0].shape == std::vector<std::int64_t>{2, 3});
      std::vector<float> a2(6), b2(4), c2(1);
      CHECK(reader.read({{in_c, c2}, {in_a, a2}, {in_b, b2}}, memory) == file.crc());
      CHECK(a2 == a);
      CHECK(b2 == b);
      CHECK(c2 == c);
      CHECK(reader.read({{in_c, c2}, {turned_a, a2}, {in_b, b2}}, memory) == file.crc());
      CHECK(a2 == std::vector<float>{0.5f, 3.5f, 1.5f, 4.5f, 2.5f, 5.5f});
      // The header is padded so that the data begins at a multiple of eight.
      std::ifstream raw(path, std::ios::binary);
      std::uint64_t n = 0;
      raw.read(reinterpret_cast<char*>(&n), 8);
      CHECK(n % 8 == 0);
    }
  }
}

TEST_CASE("a file that is large enough for several threads is read as by one, and its checksum is the same") {
  constexpr std::int64_t most = 3'000'000;
  std::vector<float> arena(5 * most);
  for (std::size_t i = 0; i < arena.size(); ++i) arena[i] = static_cast<float>(i);
  std::vector<MappedTensor> tensors;
  std::int64_t offset = 0;
  for (const std::int64_t size : {std::int64_t{1}, most, most / 3, std::int64_t{1000}, most, most}) {
    tensors.push_back({"t" + std::to_string(tensors.size()), {size}, {ArenaMatrix{offset, 1, size}}});
    offset += size;
  }
  const auto path = file_with("");
  std::filesystem::remove(path);
  OutputFile file(path);
  write_safetensors(file, in_arena(tensors, std::span<const float>(arena)));
  file.finish();
  std::vector<float> back(arena.size());
  const SafetensorsReader reader(path);
  CHECK(reader.read(in_arena(tensors, std::span<float>(back))) == file.crc());
  CHECK(std::equal(back.begin(), back.begin() + offset, arena.begin()));
  // Two faults: the one is told that comes first in the file, though the other is larger.
  tensors[4].parts = {zeros(most)};
  tensors[3].parts = {zeros(1000)};
  CHECK_THROWS_WITH(reader.read(in_arena(tensors, std::span<float>(back))), Contains("'t3'"));
  std::filesystem::resize_file(path, 1 << 20);
  CHECK_THROWS_WITH(reader.read(in_arena(tensors, std::span<float>(back))), Contains("became shorter"));
}

TEST_CASE("a file is laid out as the reference writer lays it out") {
  const std::vector<float> a{1, 2};
  const auto path = file_with("");
  std::filesystem::remove(path);
  OutputFile file(path);
  write_safetensors(file, {{{"b", {1}, {ArenaMatrix{1, 1, 1}}}, a}, {{"a", {1, 1}, {ArenaMatrix{0, 1, 1}}}, a}});
  file.finish();
  // What safetensors.numpy.save writes, of Python's safetensors 0.7.0.
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})";
  const std::string padding((8 - header.size() % 8) % 8, ' ');
  CHECK(read_small_file(path) == length(header.size() + padding.size()) + header + padding +
                                     std::string(reinterpret_cast<const char*>(a.data()), 8));
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
      {"{" + tensor("x", "[2]", "[0,8]", "F64") + "}", 8, "do not fit"},
      {"{" + tensor("x", "[2]", "[0,8]", "") + "}", 8, "does not know"},
      {"{" + tensor("x", "[2]", "[0,8]", "f32") + "}", 8, "does not know"},
      {"{" + tensor("x", "[2]", "[0,8]", "F32\\u0000") + "}", 8, "does not know"},
      {"{" + tensor("x", "[3]", "[0,1]", "F4") + "}", 1, "do not fit"},
      {"{" + tensor("x", "[2]", "[0,8]", "BF16") + "}", 8, "do not fit"},
      {"{" + tensor("x", "[2,0,9]", "[0,8]") + "}", 8, "do not fit"},
      {"{" + tensor("x", "[1048576,1048576,1048576,1048576]", "[0,8]") + "}", 1 << 20, "larger than any file"},
      {"{\"x\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "does not know"},
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
  CHECK(cases.size() >= 40);
  for (const auto& bad : cases) {
    INFO(bad.header.substr(0, 200));
    const auto path = with_header(bad.header, bad.data);
    CHECK_THROWS_AS(SafetensorsReader(path), DamagedFile);
    // The byte, or the name of the tensor or of the member.
    CHECK_THROWS_WITH(SafetensorsReader(path), Matches(".*damaged: .*(byte [0-9]+|'[^']+'|__metadata__).*"));
    CHECK(peak_bytes_of([&] { SafetensorsReader reader(path); }) <= most_bytes_for(bad.header.size() + bad.data + 8));
    CHECK_THROWS_WITH(SafetensorsReader(path), Contains(bad.sentence) && Contains(path.string()));
  }
}

TEST_CASE("the length of a header is checked before memory is taken for it") {
  for (const auto n : {std::uint64_t{3}, std::uint64_t{1} << 20, std::uint64_t{100'000'000}, std::uint64_t{1} << 40,
                       ~std::uint64_t{0}}) {
    CHECK_THROWS_WITH(SafetensorsReader(file_with(length(n) + "{}")), Contains("header would have"));
  }
  CHECK_THROWS_WITH(SafetensorsReader(file_with("")), Contains("is empty"));
  for (std::size_t n = 1; n < 8; ++n) {
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
  const auto all = [](const char* name, std::vector<float>& arena) {
    const auto size = static_cast<std::int64_t>(arena.size());
    return ArenaTensor<float>{{name, {size}, {ArenaMatrix{0, 1, size}}}, arena};
  };
  CHECK_THROWS_WITH(SafetensorsReader(path).read(std::vector<ArenaTensor<float>>{}), Contains("has a tensor 'x'"));
  CHECK_THROWS_WITH(SafetensorsReader(path).read({all("x", four)}), Contains("(2)") && Contains("(4)"));
  CHECK_THROWS_WITH(SafetensorsReader(path).read({all("x", two), all("y", four)}), Contains("'y' is missing"));
  CHECK_NOTHROW(SafetensorsReader(path).read({all("x", two)}));
  const auto other = with_header("{" + tensor("x", "[2]", "[0,8]", "I32") + "}", 8);
  CHECK_THROWS_WITH(SafetensorsReader(other).read({all("x", two)}), Contains("type I32"));
}

TEST_CASE("numbers that the model has no place for must be zero") {
  const MappedTensor nowhere{"x", {2}, {zeros(2)}};
  std::vector<float> none;
  const auto path = with_header("{" + tensor("x", "[2]", "[0,8]") + "}", 8);
  CHECK_NOTHROW(SafetensorsReader(path).read({{nowhere, none}}));
  const std::string header = "{" + tensor("x", "[2]", "[0,8]") + "}";
  file_with(length(header.size()) + header + std::string(7, '\0') + "\1");
  CHECK_THROWS_WITH(SafetensorsReader(path).read({{nowhere, none}}), Contains("'x' that is not zero"));
}

TEST_CASE("a file that becomes shorter while it is read is a sentence, and no crash") {
  const std::string header = "{" + tensor("x", "[100000]", "[0,400000]") + "}";
  const auto path = file_with(length(header.size()) + header + std::string(400'000, '\0'));
  const SafetensorsReader reader(path);
  std::filesystem::resize_file(path, 4096);
  std::vector<float> arena(100'000);
  CHECK_THROWS_WITH(reader.read({{{"x", {100'000}, {ArenaMatrix{0, 1, 100'000}}}, arena}}), Contains("became shorter"));
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
