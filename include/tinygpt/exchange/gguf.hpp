// A model as one GGUF file, the format of llama.cpp, Ollama and LM Studio: keys, the list of tensors, then the tensors.
// Source: ggml, docs/gguf.md; llama.cpp for the keys that each architecture needs.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tinygpt/exchange/gguf_layout.hpp>
#include <tinygpt/exchange/gguf_tokenizer.hpp>
#include <tinygpt/exchange/quantize.hpp>
#include <tinygpt/io/atomic_file.hpp>
#include <tinygpt/io/representable.hpp>
#include <tinygpt/io/model_view.hpp>
#include <tinygpt/ops/backend.hpp>

namespace tinygpt {

namespace gguf {

/// Collects what stands before the tensors.
class Header {
 public:
  template <class N> void number(N n) {
    static_assert(std::endian::native == std::endian::little, "GGUF files are little-endian");
    bytes_.append(reinterpret_cast<const char*>(&n), sizeof n);
  }
  void text(std::string_view s) {
    number(std::uint64_t{s.size()});
    bytes_ += s;
  }

  void key(std::string_view name, std::string_view value) { begin(name, Kind::text), text(value); }
  void key(std::string_view name, std::uint32_t value) { begin(name, Kind::u32), number(value); }
  void key(std::string_view name, float value) { begin(name, Kind::f32), number(value); }
  void key(std::string_view name, bool value) { begin(name, Kind::boolean), number(std::uint8_t{value}); }
  void key(std::string_view name, const std::vector<std::string>& values) {
    begin_list(name, Kind::text, values.size());
    for (const std::string& value : values) text(value);
  }
  void key(std::string_view name, const std::vector<std::int32_t>& values) {
    begin_list(name, Kind::i32, values.size());
    for (const std::int32_t value : values) number(value);
  }
  void pad() { bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment); }

  std::uint64_t keys() const { return keys_; }
  const std::string& bytes() const { return bytes_; }

 private:
  void begin(std::string_view name, Kind kind) {
    ++keys_;
    text(name);
    number(static_cast<std::uint32_t>(kind));
  }
  void begin_list(std::string_view name, Kind kind, std::size_t size) {
    begin(name, Kind::array);
    number(static_cast<std::uint32_t>(kind));
    number(std::uint64_t{size});
  }

  std::string bytes_;
  std::uint64_t keys_ = 0;
};

/// general.file_type: what most tensors are.
constexpr std::uint32_t file_type(GgufType type) {
  constexpr std::uint32_t numbers[] = {0, 1, 32, 7, 2, 14};
  return numbers[static_cast<std::size_t>(type)];
}

/// What a tensor of a file is kept as. Vectors and learned positions are float32, as in llama.cpp's own converter. The
/// output, on which most depends, has at least 8 bits. A row that is no whole number of blocks goes into smaller ones,
/// or into half precision.
inline TensorType stored_as(GgufType type, const MappedTensor& tensor, HeadKind head) {
  if (tensor.shape.size() == 1 || tensor.name == "position_embd.weight") return TensorType::f32;
  const std::int64_t width = tensor.shape.back();
  const bool output = tensor.name == "output.weight" || (head == tied && tensor.name == "token_embd.weight");
  const auto fits = [width](TensorType t) { return width % tensor_type(t).block == 0; };
  switch (type) {
    case GgufType::f32:
      return TensorType::f32;
    case GgufType::f16:
      return TensorType::f16;
    case GgufType::bf16:
      return TensorType::bf16;
    case GgufType::q8_0:
      return fits(TensorType::q8_0) ? TensorType::q8_0 : TensorType::f16;
    case GgufType::q4_0:
      if (output && fits(TensorType::q8_0)) return TensorType::q8_0;
      return fits(TensorType::q4_0) ? TensorType::q4_0 : TensorType::f16;
    case GgufType::q4_k:
      if (output && fits(TensorType::q8_0)) return TensorType::q8_0;
      if (fits(TensorType::q4_k)) return TensorType::q4_k;
      return fits(TensorType::q5_0) ? TensorType::q5_0 : TensorType::f16;
  }
  return TensorType::f32;
}

/// A tensor of a file with its place.
struct PlacedTensor {
  MappedTensor map;
  TensorType type;
  std::int64_t offset, bytes;  ///< from the beginning of the data
};

inline std::vector<PlacedTensor> place(std::vector<MappedTensor> tensors, GgufType type, HeadKind head) {
  std::vector<PlacedTensor> placed;
  std::int64_t end = 0;
  for (MappedTensor& tensor : tensors) {
    const TensorType stored = stored_as(type, tensor, head);
    const TensorTypeRow& row = tensor_type(stored);
    const std::int64_t bytes = tensor.size() / row.block * row.bytes;
    placed.push_back({std::move(tensor), stored, end, bytes});
    end += (bytes + alignment - 1) / alignment * alignment;
  }
  return placed;
}

inline void write_architecture(Header& header, const Config& c, const std::string& architecture) {
  const auto count = [&](const char* name, int n) {
    header.key(architecture + "." + name, static_cast<std::uint32_t>(n));
  };
  count("block_count", c.layers);
  count("context_length", c.ctx);
  count("embedding_length", c.embd);
  count("feed_forward_length", c.ffn);
  count("attention.head_count", c.query_heads);
  const auto epsilon = static_cast<float>(c.norm_eps);
  if (architecture == "gpt2") return header.key("gpt2.attention.layer_norm_epsilon", epsilon);
  count("attention.head_count_kv", c.kv_heads);
  count("attention.key_length", c.head_dim);
  count("attention.value_length", c.head_dim);
  header.key(architecture + ".attention.layer_norm_rms_epsilon", epsilon);
  count("rope.dimension_count", c.head_dim);
  header.key(architecture + ".rope.freq_base", static_cast<float>(c.rope_base));
}

inline void write_tokenizer(Header& header, const ModelView& model) {
  if (model.tokenizer == nullptr) return header.key("tokenizer.ggml.model", std::string_view("no_vocab"));
  const Companions none;
  const Companions& said = model.companions ? *model.companions : none;
  const TokenizerKeys keys = tokenizer_keys(*model.tokenizer, model.config.vocab, said);
  const auto key_of_id = [&](const char* name, std::int64_t id) {
    if (id >= 0 && id < model.config.vocab) header.key(name, static_cast<std::uint32_t>(id));
  };
  header.key("tokenizer.ggml.model", std::string_view("gpt2"));
  header.key("tokenizer.ggml.pre", std::string_view(keys.pre));
  header.key("tokenizer.ggml.tokens", keys.tokens);
  header.key("tokenizer.ggml.token_type", keys.types);
  header.key("tokenizer.ggml.merges", keys.merges);
  key_of_id("tokenizer.ggml.bos_token_id", begin_token(said, *model.tokenizer).value_or(keys.ends.front()));
  // So many the format has: the end of a text, of a turn and of a message. llama.cpp stops at each.
  for (std::size_t i = 0; i < keys.ends.size() && i < std::size(end_keys); ++i) key_of_id(end_keys[i], keys.ends[i]);
  const Json padding = companions::value_of(said.config, "pad_token_id");
  if (padding.is_number_unsigned()) key_of_id("tokenizer.ggml.padding_token_id", padding.get<std::int64_t>());
  // Training puts nothing before a text.
  header.key("tokenizer.ggml.add_bos_token", adds_begin(said));
  header.key("tokenizer.ggml.add_eos_token", false);
  if (const std::string chat = chat_template(said); !chat.empty()) {
    header.key("tokenizer.chat_template", std::string_view(chat));
  }
}

/// All that stands before the tensors.
inline std::string header_of(const ModelView& model, const std::string& architecture, GgufType type,
                             const std::vector<PlacedTensor>& tensors) {
  Header keys;
  keys.key("general.architecture", std::string_view(architecture));
  keys.key("general.type", std::string_view("model"));
  keys.key("general.name", std::string_view(model.name));
  keys.key("general.file_type", file_type(type));
  keys.key("general.quantization_version", std::uint32_t{2});
  write_architecture(keys, model.config, architecture);
  keys.key(architecture + ".vocab_size", static_cast<std::uint32_t>(model.config.vocab));
  write_tokenizer(keys, model);
  Header header;
  header.number(std::array{'G', 'G', 'U', 'F'});
  header.number(version);
  header.number(std::uint64_t{tensors.size()});
  header.number(keys.keys());
  std::string all = header.bytes() + keys.bytes();
  Header list;
  for (const PlacedTensor& tensor : tensors) {
    list.text(tensor.map.name);
    list.number(static_cast<std::uint32_t>(tensor.map.shape.size()));
    // The contiguous one first.
    for (auto extent = tensor.map.shape.rbegin(); extent != tensor.map.shape.rend(); ++extent) {
      list.number(static_cast<std::uint64_t>(*extent));
    }
    list.number(static_cast<std::uint32_t>(tensor.type));
    list.number(static_cast<std::uint64_t>(tensor.offset));
  }
  all += list.bytes();
  all.resize((all.size() + alignment - 1) / alignment * alignment);
  return all;
}

/// The largest number of a type: blocks have scales of half precision, of which the number is so many times as large.
inline float largest_of(TensorType type) {
  constexpr float half = 65504;
  switch (type) {
    case TensorType::f32:
      return tinygpt::largest_of(StoredType::float32);
    case TensorType::bf16:
      return tinygpt::largest_of(StoredType::bfloat16);
    case TensorType::f16:
      return half;
    case TensorType::q8_0:
      return 127 * half;
    case TensorType::q5_0:
      return 16 * half;
    case TensorType::q4_0:
      return 8 * half;
    case TensorType::q4_k:
      return 63 * half;  // of its offset, the smaller limit
  }
  return half;
}

/// Small pieces in one write.
class Gathered {
 public:
  explicit Gathered(AtomicFile& file) : file_(file) {}

  /// Memory for so many bytes, which are written.
  std::byte* take(std::size_t n) {
    if (used_ + n > buffer_.size()) flush();
    if (n > buffer_.size()) buffer_.resize(std::max(n, std::size_t{1} << 20));
    used_ += n;
    return buffer_.data() + used_ - n;
  }
  void write(std::span<const std::byte> bytes) {
    if (bytes.size() < large) return static_cast<void>(std::memcpy(take(bytes.size()), bytes.data(), bytes.size()));
    flush();
    file_.write(bytes);
  }
  void flush() {
    file_.write(std::span<const std::byte>(buffer_).first(used_));
    used_ = 0;
  }

 private:
  static constexpr std::size_t large = std::size_t{1} << 16;

  AtomicFile& file_;
  std::vector<std::byte> buffer_;
  std::size_t used_ = 0;
};

inline void write_tensor_data(Gathered& file, const PlacedTensor& tensor, std::span<const float> arena) {
  const TensorTypeRow& row = tensor_type(tensor.type);
  std::int64_t before = 0;
  for (const ArenaMatrix& part : tensor.map.parts) {
    tensor_map::for_each_piece(part, arena, nullptr, [&](std::span<const float> piece) {
      expect_within(piece, largest_of(tensor.type), tensor.map.name, before, row.name);
      before += static_cast<std::int64_t>(piece.size());
      if (tensor.type == TensorType::f32) return file.write(std::as_bytes(piece));
      quantize(tensor.type, piece,
               file.take(piece.size() / static_cast<std::size_t>(row.block) * static_cast<std::size_t>(row.bytes)));
    });
  }
  const std::int64_t padding = (alignment - tensor.bytes % alignment) % alignment;
  const std::byte none[alignment]{};
  file.write(std::span(none).first(static_cast<std::size_t>(padding)));
}

}  // namespace gguf

/// What is different in llama.cpp, or in the file, from what a person asked for; one sentence each.
inline std::vector<std::string> gguf_remarks(const Config& config, GgufType type) {
  std::vector<std::string> remarks;
  const GgufFit fit = gguf_fit(config);
  if (fit.architecture == nullptr) return remarks;
  if (config.activation == gelu) {
    remarks.push_back(
        "llama.cpp computes GELU by the tanh formula, this model by the error function: its numbers differ a little "
        "there");
  }
  std::int64_t smaller = 0, half = 0, width = 0;
  for (const auto& tensor : gguf::place(gguf_tensors(config, fit.architecture), type, config.head)) {
    if (tensor.map.shape.size() == 1 || tensor.map.name == "position_embd.weight") continue;
    const bool is_smaller = type == GgufType::q4_k && tensor.type == gguf::TensorType::q5_0;
    const bool is_half = type >= GgufType::q8_0 && tensor.type == gguf::TensorType::f16;
    smaller += is_smaller, half += is_half;
    if (is_smaller || is_half) width = tensor.map.shape.back();
  }
  if (smaller + half > 0) {
    remarks.push_back(std::to_string(smaller + half) + " matrices are kept as " +
                      (smaller == 0 ? "F16"
                       : half == 0  ? "Q5_0"
                                    : "Q5_0 or F16") +
                      ", because a row of " + std::to_string(width) + " is no whole number of blocks of " +
                      (type == GgufType::q4_k ? "256" : "32"));
  }
  return remarks;
}

/// Writes the file under a temporary name and renames it. Memory is bounded by a megabyte and the vocabulary. Throws
/// Error where llama.cpp does not know the architecture or the tokenizer, or a number cannot be kept.
inline void write_gguf(const std::filesystem::path& path, const ModelView& model, GgufType type) {
  const GgufFit fit = gguf_fit(model.config);
  if (fit.architecture == nullptr) {
    throw Error("llama.cpp has no architecture for " + printable(model.name) + ": " + fit.why_not +
                ": change the type, or use the model here");
  }
  if (model.weights.size() != static_cast<std::size_t>(ParamTable(model.config).arena_size())) {
    throw std::invalid_argument("write_gguf: the weights are no arena of this architecture");
  }
  const auto tensors = gguf::place(gguf_tensors(model.config, fit.architecture), type, model.config.head);
  const std::string header = gguf::header_of(model, fit.architecture, type, tensors);
  const std::int64_t bytes =
      static_cast<std::int64_t>(header.size()) + tensors.back().offset + tensors.back().bytes + gguf::alignment;
  const std::int64_t free = free_bytes(path.has_parent_path() ? path.parent_path() : ".");
  if (free >= 0 && free < bytes) {
    throw Error("cannot write " + path.string() + ": the disk is full: " + size_text(bytes) + " are needed and " +
                size_text(free) + " are free: free some space or write to another disk");
  }
  AtomicFile file(path);
  file.write(header);
  gguf::Gathered data(file);
  for (const auto& tensor : tensors) gguf::write_tensor_data(data, tensor, model.weights);
  data.flush();
  file.commit();
}

}  // namespace tinygpt
