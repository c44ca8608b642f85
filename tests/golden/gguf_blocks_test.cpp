// Blocks of GGUF files as gguf-py makes and reads them; gguf_blocks.py wrote the numbers.
#include <catch.hpp>

#include <cmath>

#include <tinygpt/exchange/quantize.hpp>
#include <tinygpt/io/json.hpp>

using namespace tinygpt;

namespace {

std::vector<std::byte> from_hex(const std::string& hex) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) bytes.push_back(std::byte(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

}  // namespace

TEST_CASE("blocks have the bytes of gguf-py's") {
  const Json golden = read_json(TINYGPT_SOURCE_DIR "/tests/golden/gguf_blocks.json");
  const auto x = golden["x"].get<std::vector<float>>();
  REQUIRE(x.size() >= 1024);
  for (const auto type :
       {gguf::TensorType::q8_0, gguf::TensorType::q5_0, gguf::TensorType::q4_0, gguf::TensorType::bf16}) {
    const auto& row = gguf::tensor_type(type);
    CAPTURE(row.name);
    const auto expected = from_hex(golden[row.name].get<std::string>());
    std::vector<std::byte> bytes(x.size() / static_cast<std::size_t>(row.block) * static_cast<std::size_t>(row.bytes));
    gguf::quantize(type, x, bytes.data());
    REQUIRE(bytes.size() == expected.size());
    int apart = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) apart += bytes[i] != expected[i];
    CHECK(apart == 0);
  }
}

TEST_CASE("Q4_K is read as gguf-py reads it") {
  const Json golden = read_json(TINYGPT_SOURCE_DIR "/tests/golden/gguf_blocks.json");
  const auto bytes = from_hex(golden["Q4_K"].get<std::string>());
  const auto expected = golden["Q4_K numbers"].get<std::vector<float>>();
  REQUIRE(bytes.size() == expected.size() / 256 * 144);
  std::vector<float> x(expected.size());
  gguf::dequantize(gguf::TensorType::q4_k, bytes.data(), x);
  int apart = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    apart += std::fabs(x[i] - expected[i]) > 1e-6f * std::fabs(expected[i]) + 1e-30f;
  CHECK(apart == 0);
}
