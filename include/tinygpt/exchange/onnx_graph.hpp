// A graph of ONNX operators under construction, and the file that it becomes.
// Source: onnx/onnx.proto (the numbers of the fields) and docs/ExternalData.md.
#pragma once

#include <functional>
#include <initializer_list>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <tinygpt/exchange/protobuf.hpp>
#include <tinygpt/io/atomic_file.hpp>

namespace tinygpt::onnx {

inline constexpr int opset = 17, ir_version = 8;

/// TensorProto.DataType
enum class Element { float32 = 1, int64 = 7, float16 = 10, bfloat16 = 16 };

using Sink = std::function<void(std::span<const std::byte>)>;

/// A tensor whose numbers are known when the model is written.
struct Initializer {
  std::string name;
  std::vector<std::int64_t> shape;
  Element element = Element::float32;
  std::int64_t bytes = 0;
  std::function<void(const Sink&)> write;  ///< gives `bytes` bytes
};

/// An axis: its extent, or the name of one that is known when the model runs.
struct Axis {
  std::int64_t extent = 0;
  std::string name;

  Axis(std::int64_t n) : extent(n) {}
  Axis(const char* n) : name(n) {}
};

/// AttributeProto: one number or a list of them.
struct Attribute {
  std::string name;
  protobuf::Message value;

  static Attribute integer(const std::string& name, std::int64_t value) {
    return {name, protobuf::Message().text(1, name).integer(3, value).integer(20, 2)};
  }
  static Attribute real(const std::string& name, float value) {
    return {name, protobuf::Message().text(1, name).real(2, value).integer(20, 1)};
  }
  static Attribute integers(const std::string& name, std::initializer_list<std::int64_t> values) {
    protobuf::Message message;
    message.text(1, name);
    for (const auto value : values) message.integer(8, value);
    return {name, message.integer(20, 7)};
  }
};

/// Every value (input, tensor, output of an operator) has one name, and it is a mistake in the program to give it
/// twice.
class Graph {
 public:
  using Names = std::vector<std::string>;

  explicit Graph(std::string name) : name_(std::move(name)) {}

  std::string input(const std::string& name, Element element, const std::vector<Axis>& shape) {
    claim(name);
    rest_.message(11, value_info(name, element, shape));
    return name;
  }
  /// Of the value with this name.
  void output(const std::string& name, Element element, const std::vector<Axis>& shape) {
    rest_.message(12, value_info(name, element, shape));
  }

  /// Returns the name of its only output, which is also its own.
  std::string add(const std::string& op, const Names& inputs, const std::string& name,
                  std::initializer_list<Attribute> attributes = {}) {
    add(op, inputs, Names{name}, name, attributes);
    return name;
  }
  void add(const std::string& op, const Names& inputs, const Names& outputs, const std::string& name,
           std::initializer_list<Attribute> attributes = {}) {
    protobuf::Message node;
    for (const auto& input : inputs) node.text(1, input);
    for (const auto& output : outputs) node.text(2, claim(output));
    node.text(3, name).text(4, op);
    for (const auto& attribute : attributes) node.message(5, attribute.value);
    nodes_.message(1, node);
  }

  std::string tensor(Initializer initializer) {
    initializers_.push_back(std::move(initializer));
    return claim(initializers_.back().name);
  }
  /// A list of numbers, or a single one where `shape` is empty.
  template <class N> std::string constant(const std::string& name, std::vector<N> values, bool scalar = false) {
    static_assert(std::is_same_v<N, float> || std::is_same_v<N, std::int64_t>);
    const auto n = static_cast<std::int64_t>(values.size());
    return tensor({name, scalar ? std::vector<std::int64_t>{} : std::vector<std::int64_t>{n},
                   std::is_same_v<N, float> ? Element::float32 : Element::int64,
                   n * static_cast<std::int64_t>(sizeof(N)),
                   [values = std::move(values)](const Sink& sink) { sink(std::as_bytes(std::span(values))); }});
  }

  /// Writes `file`; where it would have more than `most_inside` bytes, the tensors of a kilobyte and more go to a file
  /// beside it, named like it with ".data" at the end. Memory is needed for the nodes alone.
  void write(const std::filesystem::path& file, std::int64_t most_inside) const {
    std::vector<std::int64_t> nowhere(initializers_.size(), -1);
    if (encode(nowhere, "").total <= most_inside) {
      AtomicFile out(file);
      write_model(out, encode(nowhere, ""), nowhere);
      return out.commit();
    }
    const auto data_path = std::filesystem::path(file).concat(".data");
    AtomicFile data(data_path);
    auto offsets = nowhere;
    for (std::size_t i = 0; i < initializers_.size(); ++i) {
      if (initializers_[i].bytes < 1024) continue;
      // Readers that map the file want pages.
      const std::vector<std::byte> padding(static_cast<std::size_t>((page - data.size() % page) % page));
      data.write(padding);
      offsets[i] = data.size();
      write_numbers(data, initializers_[i]);
    }
    AtomicFile out(file);
    const Encoded encoded = encode(offsets, data_path.filename().string());
    if (encoded.total > std::numeric_limits<std::int32_t>::max()) {
      throw Error("cannot write " + file.string() + ": without its weights the model still has " +
                  size_text(encoded.total) + ", and ONNX ends at 2 GB: export it as hf or gguf");
    }
    write_model(out, encoded, offsets);
    out.finish();
    data.finish();
    // An older model under this name must not meet the new data.
    if (::unlink(file.c_str()) != 0 && errno != ENOENT) throw file_error("replace", file, errno);
    data.commit();
    out.commit();
  }

 private:
  static constexpr std::int64_t page = 4096;

  /// Everything of the model but the numbers: what comes before the graph, and before each tensor's numbers.
  struct Encoded {
    std::string model;
    std::vector<std::string> heads;
    std::int64_t total = 0;
  };

  std::string claim(const std::string& name) {
    if (!names_.insert(name).second) throw std::logic_error("onnx::Graph: there are two values " + name);
    return name;
  }

  static protobuf::Message value_info(const std::string& name, Element element, const std::vector<Axis>& shape) {
    protobuf::Message axes;
    for (const Axis& axis : shape) {
      protobuf::Message dimension;
      axis.name.empty() ? dimension.integer(1, axis.extent) : dimension.text(2, axis.name);
      axes.message(1, dimension);
    }
    protobuf::Message tensor;
    tensor.integer(1, static_cast<int>(element)).message(2, axes);
    return protobuf::Message().text(1, name).message(2, protobuf::Message().message(1, tensor));
  }

  static protobuf::Message entry(const std::string& key, const std::string& value) {
    return protobuf::Message().text(1, key).text(2, value);
  }

  Encoded encode(const std::vector<std::int64_t>& offsets, const std::string& location) const {
    Encoded encoded;
    std::int64_t graph = nodes_.size() + rest_.size() + protobuf::Message().text(2, name_).size();
    for (std::size_t i = 0; i < initializers_.size(); ++i) {
      const Initializer& one = initializers_[i];
      protobuf::Message tensor;
      for (const auto extent : one.shape) tensor.integer(1, extent);
      tensor.integer(2, static_cast<int>(one.element)).text(8, one.name);
      const std::int64_t inside = offsets[i] < 0 ? one.bytes : 0;
      if (offsets[i] < 0) {
        tensor.announce(9, static_cast<std::uint64_t>(one.bytes));
      } else {
        tensor.message(13, entry("location", location)).message(13, entry("offset", std::to_string(offsets[i])));
        tensor.message(13, entry("length", std::to_string(one.bytes))).integer(14, 1);
      }
      protobuf::Message head;
      head.announce(5, static_cast<std::uint64_t>(tensor.size() + inside));
      encoded.heads.push_back(head.bytes() + tensor.bytes());
      graph += static_cast<std::int64_t>(encoded.heads.back().size()) + inside;
    }
    protobuf::Message model;
    model.integer(1, ir_version).text(2, "tinygpt");
    model.message(8, protobuf::Message().text(1, "").integer(2, opset));
    model.announce(7, static_cast<std::uint64_t>(graph));
    encoded.model = model.bytes();
    encoded.total = model.size() + graph;
    return encoded;
  }

  static void write_numbers(AtomicFile& out, const Initializer& one) {
    const std::int64_t before = out.size();
    one.write([&](std::span<const std::byte> bytes) { out.write(bytes); });
    if (out.size() - before != one.bytes) throw std::logic_error("onnx::Graph: " + one.name + " has another size");
  }

  void write_model(AtomicFile& out, const Encoded& encoded, const std::vector<std::int64_t>& offsets) const {
    out.write(encoded.model);
    out.write(nodes_.bytes());
    out.write(protobuf::Message().text(2, name_).bytes());
    for (std::size_t i = 0; i < initializers_.size(); ++i) {
      out.write(encoded.heads[i]);
      if (offsets[i] < 0) write_numbers(out, initializers_[i]);
    }
    out.write(rest_.bytes());
    if (offsets == std::vector<std::int64_t>(offsets.size(), -1) && out.size() != encoded.total) {
      throw std::logic_error("onnx::Graph: the model has another size");
    }
  }

  std::string name_;
  protobuf::Message nodes_, rest_;  ///< GraphProto's fields before the tensors, and after them
  std::vector<Initializer> initializers_;
  std::set<std::string> names_;
};

}  // namespace tinygpt::onnx
