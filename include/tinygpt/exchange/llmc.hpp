// llm.c's checkpoints of GPT-2, and its file of a tokenizer.
// Source: llm.c, train_gpt2.py (write_model, write_tokenizer) and train_gpt2.c (gpt2_build_from_checkpoint).
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include <tinygpt/data/mapped_file.hpp>
#include <tinygpt/data/token_shard.hpp>
#include <tinygpt/io/atomic_file.hpp>
#include <tinygpt/io/finite.hpp>
#include <tinygpt/io/json.hpp>
#include <tinygpt/io/model_view.hpp>
#include <tinygpt/io/size_check.hpp>
#include <tinygpt/io/tensor_map.hpp>

namespace tinygpt {

namespace llmc {

inline constexpr std::int32_t model_magic = 20240326, tokenizer_magic = 20240328;
inline constexpr std::int32_t float32_version = 3, bfloat16_version = 5;
inline constexpr std::int64_t header_bytes = 1024;

/// The first words of the header of 256 int32; the others are zero.
struct Header {
  std::int32_t magic, version, ctx, vocab, layers, heads, embd, padded_vocab;
};

/// V rounded up, so that the matrix product of the head has whole tiles.
constexpr std::int32_t padded(int vocab) { return (vocab + 127) / 128 * 128; }

/// GPT-2's architecture with these sizes, the only one that the format knows.
constexpr Config config_of(const Header& h) {
  Config c;
  c.layers = h.layers;
  c.embd = h.embd;
  c.query_heads = c.kv_heads = h.heads;
  c.head_dim = h.heads > 0 ? h.embd / h.heads : 0;
  c.ctx = h.ctx;
  c.vocab = h.vocab;
  c.ffn = 4 * h.embd;
  c.activation = gelu_tanh;
  c.bias = all;
  return c;
}

/// Why llm.c cannot run an architecture, in the words of the type; empty where it can.
inline std::string why_not(const Config& c) {
  if (c.positions != learned) return "llm.c needs Positions<learned>";
  if (c.norm != layer) return "llm.c needs Norm<layer>";
  if (c.norm_eps != default_norm_eps(layer)) return "llm.c needs Norm<layer> with the epsilon 1e-5";
  if (c.activation != gelu_tanh) return "llm.c needs Activation<gelu_tanh>";
  if (c.head != tied) return "llm.c needs Head<tied>";
  if (contains(c.bias, BiasSet::head)) return "llm.c has no bias on the head";
  if (c.kv_heads != c.query_heads) return "llm.c needs as many key heads as query heads";
  if (c.query_width() != c.embd) return "llm.c needs HeadDim<C / Hq>";
  if (c.qk_norm) return "llm.c has no QkNorm";
  if (c.ffn != 4 * c.embd) return "llm.c needs Ffn<4 C>";
  return "";
}

/// The tensors in the order of the file: of each kind all layers. Biases that the model lacks are zeros.
inline std::vector<MappedTensor> tensors(const Config& c, std::int64_t padded_vocab) {
  const ParamTable table(c);
  std::vector<MappedTensor> all;
  const auto add = [&](const char* name, Param id, std::int64_t size) {
    MappedTensor tensor{name, {}, {}};
    if (!table.has(id)) {
      tensor.parts.push_back(zeros(c.layers * size));
    } else {
      for (std::int64_t l = 0; l < table[id].layers; ++l) tensor.parts.push_back(matrix_of(table[id], l));
    }
    all.push_back(std::move(tensor));
  };
  const std::int64_t C = c.embd;
  add("wte", Param::token_embedding, 0);
  all.back().parts.push_back(zeros((padded_vocab - c.vocab) * C));
  add("wpe", Param::position_embedding, 0);
  add("ln1w", Param::norm1_weight, C);
  add("ln1b", Param::norm1_bias, C);
  add("qkvw", Param::qkv_weight, 0);
  add("qkvb", Param::qkv_bias, 3 * C);
  add("attprojw", Param::attn_out_weight, 0);
  add("attprojb", Param::attn_out_bias, C);
  add("ln2w", Param::norm2_weight, C);
  add("ln2b", Param::norm2_bias, C);
  add("fcw", Param::ffn_in_weight, 0);
  add("fcb", Param::ffn_in_bias, 4 * C);
  add("fcprojw", Param::ffn_out_weight, 0);
  add("fcprojb", Param::ffn_out_bias, C);
  add("lnfw", Param::final_norm_weight, C);
  add("lnfb", Param::final_norm_bias, C);
  return all;
}

/// Bytes of the whole file; nothing where no file can have so many.
inline std::optional<std::int64_t> file_bytes(const Header& h, StoredType type) {
  const std::int64_t C = h.embd;
  std::int64_t per_layer = 0, layers = 0, tokens = 0, numbers = 0, bytes = 0;
  const bool overflow = __builtin_mul_overflow(12 * C + 13, C, &per_layer) ||
                        __builtin_mul_overflow(per_layer, std::int64_t{h.layers}, &layers) ||
                        __builtin_mul_overflow(std::int64_t{h.padded_vocab} + h.ctx + 2, C, &tokens) ||
                        __builtin_add_overflow(layers, tokens, &numbers) ||
                        __builtin_mul_overflow(numbers, bytes_of(type), &bytes) ||
                        __builtin_add_overflow(bytes, header_bytes, &bytes);
  return overflow ? std::nullopt : std::optional(bytes);
}

/// The header of a file of that many bytes, all of it checked.
inline std::pair<Header, StoredType> checked(const Header& h, std::int64_t bytes, const std::filesystem::path& path) {
  const auto word = [](int place, const char* name, std::int64_t value) {
    return std::string(name) + " (byte " + std::to_string(4 * place) + ") is " + std::to_string(value);
  };
  if (h.magic != model_magic) {
    const std::string other = h.magic == 20240520 || h.magic == 20240801 ? "tokens" : shard::other_kind(h.magic);
    if (!other.empty()) {
      throw Error(path.string() + " is a file of llm.c's that holds " + other + ", not a model: give a model_*.bin");
    }
    if (static_cast<std::int32_t>(__builtin_bswap32(static_cast<std::uint32_t>(h.magic))) == model_magic) {
      throw damaged(path, "the bytes of its numbers are in the order of another machine");
    }
    throw damaged(path, word(0, "the first number", h.magic) + ", where llm.c's models have 20240326");
  }
  if (h.version != float32_version && h.version != bfloat16_version) {
    throw damaged(path, word(1, "the version", h.version) + ", where 3 (float32) and 5 (bf16) are known");
  }
  const StoredType type = h.version == float32_version ? StoredType::float32 : StoredType::bfloat16;
  const struct {
    int place;
    const char* name;
    std::int32_t value, most;
  } sizes[] = {{2, "the context length", h.ctx, 10'000'000},  {3, "the vocabulary", h.vocab, 10'000'000},
               {4, "the number of layers", h.layers, 10'000}, {5, "the number of heads", h.heads, 100'000},
               {6, "the width", h.embd, 1'000'000},           {7, "the padded vocabulary", h.padded_vocab, 20'000'000}};
  for (const auto& size : sizes) {
    if (size.value < 1 || size.value > size.most) {
      throw damaged(path, word(size.place, size.name, size.value) + ", not from 1 to " + std::to_string(size.most));
    }
  }
  if (h.embd % h.heads != 0) {
    throw damaged(path, word(6, "the width", h.embd) + ", no multiple of the " + std::to_string(h.heads) + " heads");
  }
  if (h.padded_vocab < h.vocab) {
    throw damaged(path, word(7, "the padded vocabulary", h.padded_vocab) + ", less than the vocabulary of " +
                            std::to_string(h.vocab));
  }
  const auto expected = file_bytes(h, type);
  if (!expected || *expected != bytes) {
    throw damaged(path, "it has " + std::to_string(bytes) + " bytes, where the sizes in its header need " +
                            (expected ? std::to_string(*expected) : "more than any file has"));
  }
  return {h, type};
}

}  // namespace llmc

/// Does a file begin as llm.c's models do? The caller gives its first bytes.
inline bool is_llmc_model(std::span<const std::byte> first) {
  std::int32_t magic = 0;
  if (first.size() < sizeof magic) return false;
  std::memcpy(&magic, first.data(), sizeof magic);
  return magic == llmc::model_magic;
}

/// Writes a checkpoint of version 3 (float32) or 5 (bf16). Rows of tokens that are not there, and biases that the model
/// lacks, are zeros. Throws Error where llm.c does not know the architecture or the disk does not take it.
inline void write_llmc(const std::filesystem::path& file, const ModelView& model, StoredType type) {
  const Config& c = model.config;
  const auto refuse = [&](const std::string& why, const char* instead) {
    throw Error("cannot write " + file.string() + " for llm.c: " + why + ": " + instead);
  };
  if (const std::string why = llmc::why_not(c); !why.empty()) refuse(why, "export it as hf or onnx");
  if (type == StoredType::float16) refuse("it has no float16", "use float32 or bf16");

  expect_finite(c, model.weights, type);
  const std::int32_t version = type == StoredType::float32 ? llmc::float32_version : llmc::bfloat16_version;
  const llmc::Header header{llmc::model_magic, version,       c.ctx,  c.vocab,
                            c.layers,          c.query_heads, c.embd, llmc::padded(c.vocab)};
  AtomicFile out(file);
  std::array<std::byte, llmc::header_bytes> first{};
  std::memcpy(first.data(), &header, sizeof header);
  out.write(first);
  for (const MappedTensor& tensor : llmc::tensors(c, header.padded_vocab)) {
    write_tensor(tensor, model.weights, nullptr, type, [&](std::span<const std::byte> bytes) { out.write(bytes); });
  }
  if (out.size() != llmc::file_bytes(header, type)) throw std::logic_error("write_llmc: the file has another size");
  out.commit();
}

/// Reads a checkpoint of version 3 or 5, which becomes a model with all biases; rows beyond the vocabulary are left
/// out. Every size is checked against the file before memory is taken. Throws DamagedFile, or Error where it is another
/// file of llm.c's.
inline LoadedModel read_llmc(const std::filesystem::path& path) {
  const MappedFile file(path);
  if (file.size() < llmc::header_bytes) {
    throw damaged(path, "it has only " + std::to_string(file.size()) + " of the 1024 bytes of a header");
  }
  llmc::Header raw{};
  file.read([&](std::span<const std::byte> bytes) { std::memcpy(&raw, bytes.data(), sizeof raw); });
  const auto [header, type] = llmc::checked(raw, file.size(), path);

  LoadedModel model{path.stem().string(), llmc::config_of(header), {}, std::nullopt};
  if (too_narrow(ParamTable(model.config))) {
    throw damaged(path, "its width (byte 24) of " + std::to_string(header.embd) + " is less than any model's of " +
                            std::to_string(header.layers) + " layers");
  }
  model.weights.resize(static_cast<std::size_t>(ParamTable(model.config).arena_size()));
  std::size_t at = llmc::header_bytes;
  for (const MappedTensor& tensor : llmc::tensors(model.config, header.padded_vocab)) {
    // What stands in the rows of no token may be anything.
    read_tensor(tensor, model.weights, nullptr, type, [&](std::span<std::byte> to) {
      file.read([&](std::span<const std::byte> bytes) { std::memcpy(to.data(), bytes.data() + at, to.size()); });
      at += to.size();
    });
  }
  return model;
}

/// Writes the bytes of each token, as llm.c's programs read them to show what they generate. Throws Error where a token
/// has more bytes than one byte counts, or none.
inline void write_llmc_tokenizer(const std::filesystem::path& file, const Tokenizer& tokenizer) {
  const auto end = tokenizer.end_of_text();
  if (!end) {
    throw Error("cannot write " + file.string() + " for llm.c: the tokenizer has no <|endoftext|>: use one that has");
  }
  std::array<std::int32_t, 256> header{llmc::tokenizer_magic, 2, tokenizer.size(), *end};
  std::string text;
  for (std::int32_t id = 0; id < tokenizer.size(); ++id) {
    const std::string_view bytes = tokenizer.decode(id);
    if (bytes.empty() || bytes.size() > 255) {
      throw Error("cannot write " + file.string() + " for llm.c: token " + std::to_string(id) + " has " +
                  std::to_string(bytes.size()) + " bytes, where 1 to 255 fit: use another tokenizer");
    }
    text.push_back(static_cast<char>(static_cast<unsigned char>(bytes.size())));
    text += bytes;
  }
  AtomicFile out(file);
  out.write(std::as_bytes(std::span(header)));
  out.write(text);
  out.commit();
}

}  // namespace tinygpt
