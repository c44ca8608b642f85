// ONNX files: the encoding of protocol buffers, and the graph as a small decoder finds it.
#include <catch.hpp>

#include <cstring>
#include <map>
#include <set>

#include <oracle_models.hpp>
#include <scratch.hpp>

#include <tinygpt/exchange/onnx.hpp>

using namespace tinygpt;
using Catch::Matchers::Contains;

namespace {

std::string hex(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

/// A message, decoded: fields in order, each a number or bytes.
struct Field {
  int number = 0, wire = 0;
  std::uint64_t value = 0;
  std::string_view bytes;
};

std::vector<Field> decode(std::string_view message) {
  std::vector<Field> fields;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      REQUIRE(at < message.size());
      REQUIRE(shift < 64);
      const auto byte = static_cast<unsigned char>(message[at++]);
      value |= static_cast<std::uint64_t>(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.size()) {
    const auto tag = varint();
    Field field{static_cast<int>(tag >> 3), static_cast<int>(tag & 7), 0, {}};
    if (field.wire == 0) {
      field.value = varint();
    } else if (field.wire == 5) {
      field.bytes = message.substr(at, 4);
      at += 4;
    } else {
      REQUIRE(field.wire == 2);
      const auto size = varint();
      REQUIRE(size <= message.size() - at);
      field.bytes = message.substr(at, static_cast<std::size_t>(size));
      at += static_cast<std::size_t>(size);
    }
    fields.push_back(field);
  }
  REQUIRE(at == message.size());
  return fields;
}

std::vector<Field> all_of(std::string_view message, int number) {
  std::vector<Field> found;
  for (const Field& field : decode(message)) {
    if (field.number == number) found.push_back(field);
  }
  return found;
}
Field one_of(std::string_view message, int number) {
  const auto found = all_of(message, number);
  REQUIRE(found.size() == 1);
  return found[0];
}

struct StoredTensor {
  std::vector<std::int64_t> shape;
  std::uint64_t type = 0;
  std::string numbers;
};

struct Node {
  std::string op;
  std::vector<std::string> inputs, outputs;
};

/// "batch,4,past_sequence,8"
std::string shape_of(std::string_view value_info) {
  const auto type = one_of(one_of(value_info, 2).bytes, 1).bytes;
  std::string text;
  for (const Field& axis : all_of(one_of(type, 2).bytes, 1)) {
    const Field field = decode(axis.bytes).at(0);
    text += (text.empty() ? "" : ",") + (field.number == 2 ? std::string(field.bytes) : std::to_string(field.value));
  }
  return text + (one_of(type, 1).value == 7 ? " int64" : one_of(type, 1).value == 1 ? " float" : " ?");
}

/// A file with what every reader relies on checked: names come before they are used, each once; tensors are as long as
/// their shape.
struct Model {
  std::map<std::string, std::string> inputs, outputs;
  std::map<std::string, StoredTensor> tensors;
  std::vector<Node> nodes;
  std::set<std::string> ops;

  explicit Model(const std::filesystem::path& path) : file(read_small_file(path)) {
    CHECK(one_of(file, 1).value == 8);
    const auto opset = one_of(file, 8).bytes;
    CHECK(one_of(opset, 1).bytes.empty());
    CHECK(one_of(opset, 2).value == 17);
    const auto graph = one_of(file, 7).bytes;
    CHECK_FALSE(one_of(graph, 2).bytes.empty());
    std::set<std::string> known;
    for (const Field& field : decode(graph)) {
      if (field.number == 5) add_tensor(field.bytes, path);
      if (field.number == 11) inputs[std::string(one_of(field.bytes, 1).bytes)] = shape_of(field.bytes);
      if (field.number == 12) outputs[std::string(one_of(field.bytes, 1).bytes)] = shape_of(field.bytes);
      if (field.number != 1) continue;
      Node node{std::string(one_of(field.bytes, 4).bytes), {}, {}};
      for (const Field& f : all_of(field.bytes, 1)) node.inputs.emplace_back(f.bytes);
      for (const Field& f : all_of(field.bytes, 2)) node.outputs.emplace_back(f.bytes);
      ops.insert(node.op);
      nodes.push_back(node);
    }
    for (const auto& [name, shape] : inputs) CHECK(known.insert(name).second);
    for (const auto& [name, tensor] : tensors) CHECK(known.insert(name).second);
    std::set<std::string> used;
    for (const Node& node : nodes) {
      for (const auto& name : node.inputs) {
        if (!known.contains(name)) FAIL(node.op << " takes " << name << ", which does not come before it");
        used.insert(name);
      }
      for (const auto& name : node.outputs) {
        if (!known.insert(name).second) FAIL("there are two values " << name);
      }
    }
    for (const auto& [name, shape] : outputs) CHECK(known.contains(name));
    for (const auto& name : known) {
      if (!used.contains(name) && !outputs.contains(name)) FAIL("nothing uses " << name);
    }
  }

 private:
  void add_tensor(std::string_view message, const std::filesystem::path& path) {
    StoredTensor tensor;
    std::int64_t size = 1;
    for (const Field& extent : all_of(message, 1)) {
      tensor.shape.push_back(static_cast<std::int64_t>(extent.value));
      size *= tensor.shape.back();
    }
    tensor.type = one_of(message, 2).value;
    const auto inside = all_of(message, 9);
    if (!inside.empty()) {
      tensor.numbers = inside[0].bytes;
    } else {
      CHECK(one_of(message, 14).value == 1);
      std::map<std::string, std::string> entries;
      for (const Field& entry : all_of(message, 13)) {
        entries[std::string(one_of(entry.bytes, 1).bytes)] = one_of(entry.bytes, 2).bytes;
      }
      const auto offset = std::stoull(entries.at("offset"));
      CHECK(offset % 4096 == 0);
      const std::string data = read_small_file(path.parent_path() / entries.at("location"));
      tensor.numbers = data.substr(offset, std::stoull(entries.at("length")));
    }
    const std::map<std::uint64_t, std::int64_t> widths{{1, 4}, {7, 8}, {10, 2}, {16, 2}};
    CHECK(static_cast<std::int64_t>(tensor.numbers.size()) == size * widths.at(tensor.type));
    const std::string name(one_of(message, 8).bytes);
    CHECK(tensors.emplace(name, tensor).second);
  }

  std::string file;
};

struct Written {
  ScratchDirectory scratch;
  Config config;
  std::vector<float> weights;
  std::filesystem::path path = scratch.path / "model.onnx";

  explicit Written(int number, OnnxCache cache = OnnxCache::without, const OnnxOptions& options = {}) {
    test::with_oracle_model(number, [&]<class M>() { config = M::config; });
    weights = test::oracle_weights(config, 7);
    write_onnx(path, {"model", config, weights, nullptr}, cache, options);
  }
};

float number(const StoredTensor& tensor, std::size_t i) {
  float x;
  std::memcpy(&x, tensor.numbers.data() + 4 * i, sizeof x);
  return x;
}

}  // namespace

TEST_CASE("messages have the bytes that the documentation of protocol buffers shows") {
  using protobuf::Message;
  CHECK(hex(Message().integer(1, 150).bytes()) == "089601");
  CHECK(hex(Message().text(2, "testing").bytes()) == "120774657374696e67");
  CHECK(hex(Message().message(3, Message().integer(1, 150)).bytes()) == "1a03089601");
  CHECK(hex(Message().integer(1, -2).bytes()) == "08feffffffffffffffff01");
  CHECK(hex(Message().integer(1, 0).bytes()) == "0800");
  CHECK(hex(Message().integer(1, 127).integer(1, 128).bytes()) == "087f088001");
  CHECK(hex(Message().integer(16, 1).bytes()) == "800101");
  CHECK(hex(Message().real(2, 1.5f).bytes()) == "150000c03f");
  CHECK(hex(Message().text(1, "").bytes()) == "0a00");
  CHECK(hex(Message().announce(9, 300).bytes()) == "4aac02");
  CHECK(hex(protobuf::varint(0xFFFF'FFFF'FFFF'FFFFu)) == "ffffffffffffffffff01");
}

TEST_CASE("a graph of every model is whole: names come before they are used, once, and tensors have their sizes") {
  for (int m = 0; m < test::oracle_model_count; ++m) {
    for (const auto cache : {OnnxCache::without, OnnxCache::with}) {
      CAPTURE(m, cache == OnnxCache::with);
      const Written written(m, cache);
      const Config& c = written.config;
      const Model model(written.path);
      const std::string V = std::to_string(c.vocab), heads = std::to_string(c.kv_heads), D = std::to_string(c.head_dim);
      CHECK(model.inputs.at("input_ids") == "batch,sequence int64");
      CHECK(model.outputs.at("logits") == "batch,sequence," + V + " float");
      const std::size_t more = cache == OnnxCache::with ? 2 * static_cast<std::size_t>(c.layers) : 0;
      CHECK(model.inputs.size() == 1 + more);
      CHECK(model.outputs.size() == 1 + more);
      for (int l = 0; l < c.layers && more != 0; ++l) {
        for (const char* const end : {".key", ".value"}) {
          const std::string n = std::to_string(l) + end;
          CHECK(model.inputs.at("past_key_values." + n) == "batch," + heads + ",past_sequence," + D + " float");
          CHECK(model.outputs.at("present." + n) == "batch," + heads + ",total_sequence," + D + " float");
        }
      }
      // Every parameter is there once.
      std::int64_t numbers = 0;
      for (const auto& [name, tensor] : model.tensors) {
        if (name.ends_with("weight") || name.ends_with("bias") || name.ends_with("embedding")) {
          numbers += static_cast<std::int64_t>(tensor.numbers.size() / 4);
        }
      }
      CHECK(numbers == ParamTable(c).param_count());
      CHECK(std::distance(std::filesystem::directory_iterator(written.scratch.path), {}) == 1);
    }
  }
}

TEST_CASE("matrices are stored turned, as MatMul takes them, and vectors as they are") {
  const Written written(4);
  const Model model(written.path);
  const ParamTable table(written.config);
  const ParamRow& qkv = table[Param::qkv_weight];
  const StoredTensor& tensor = model.tensors.at("layers.1.attention.qkv.weight");
  REQUIRE(tensor.shape == std::vector<std::int64_t>{qkv.cols, qkv.rows});
  for (std::int64_t r = 0; r < qkv.rows; ++r) {
    for (std::int64_t k = 0; k < qkv.cols; ++k) {
      const float ours = written.weights[static_cast<std::size_t>(qkv.offset + qkv.stride + r * qkv.cols + k)];
      if (number(tensor, static_cast<std::size_t>(k * qkv.rows + r)) != ours) FAIL(r << ", " << k);
    }
  }
  const ParamRow& norm = table[Param::norm2_weight];
  const StoredTensor& vector = model.tensors.at("layers.1.norm2.weight");
  CHECK(vector.shape == std::vector<std::int64_t>{norm.rows});
  CHECK(number(vector, 3) == written.weights[static_cast<std::size_t>(norm.offset + norm.stride + 3)]);
  const StoredTensor& cosines = model.tensors.at("rope.cos");
  CHECK(cosines.shape == std::vector<std::int64_t>{written.config.ctx, written.config.head_dim / 2});
  CHECK(number(cosines, 0) == 1);
  CHECK(number(cosines, 5 * 4 + 1) == Approx(std::cos(5 * std::pow(10000.0, -0.25))));
}

TEST_CASE("weights of 16 bits are turned into float32 by the graph, and are the nearest ones") {
  for (const auto type : {StoredType::float16, StoredType::bfloat16}) {
    const Written written(0, OnnxCache::without, {type});
    const Model model(written.path);
    CHECK(model.ops.contains("Cast"));
    const StoredTensor& table = model.tensors.at("token_embedding");
    CHECK(table.type == (type == StoredType::float16 ? 10u : 16u));
    std::uint16_t bits;
    std::memcpy(&bits, table.numbers.data() + 2 * 77, sizeof bits);
    const float x = written.weights[77];
    CHECK(bits == (type == StoredType::float16 ? float16(x).bits : bfloat16(x).bits));
    CHECK(model.tensors.at("final_norm.weight").type == 1);
  }
}

TEST_CASE("where the file would become too large, the weights lie beside it, page by page, and are the same") {
  const Written inside(8, OnnxCache::with);
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(inside.path));
  const Written just(8, OnnxCache::with, {StoredType::float32, size});
  CHECK_FALSE(std::filesystem::exists(just.scratch.path / "model.onnx.data"));
  const Written outside(8, OnnxCache::with, {StoredType::float32, size - 1});
  CHECK(std::filesystem::exists(outside.scratch.path / "model.onnx.data"));
  CHECK(std::distance(std::filesystem::directory_iterator(outside.scratch.path), {}) == 2);
  CHECK(std::filesystem::file_size(outside.path) < static_cast<std::uintmax_t>(size / 2));
  const Model a(inside.path), b(outside.path);
  REQUIRE(a.tensors.size() == b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    CHECK(tensor.numbers == b.tensors.at(name).numbers);
    CHECK(tensor.shape == b.tensors.at(name).shape);
  }
  CHECK(a.nodes.size() == b.nodes.size());
}

TEST_CASE("a model that cannot be written leaves what was there") {
  const Written written(0);
  const std::string before = read_small_file(written.path);
  CHECK_THROWS_WITH(write_onnx(written.scratch.path / "none" / "m.onnx",
                               {"model", written.config, written.weights, nullptr}, OnnxCache::without),
                    Contains("cannot create") && Contains("check the path"));
  std::filesystem::create_directory(written.scratch.path / "folder");
  CHECK_THROWS_AS(write_onnx(written.scratch.path / "folder", {"model", written.config, written.weights, nullptr},
                             OnnxCache::without),
                  Error);
  CHECK(read_small_file(written.path) == before);
  CHECK(std::distance(std::filesystem::directory_iterator(written.scratch.path), {}) == 2);
}
