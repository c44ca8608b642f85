// export and import: a model directory as files of other projects, and back. They need no type: a preset's program only
// checks that the model is of its own.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include <tinygpt/cli/flags.hpp>
#include <tinygpt/cli/terminal.hpp>
#include <tinygpt/exchange/cut_vocab.hpp>
#include <tinygpt/exchange/gguf.hpp>
#include <tinygpt/exchange/gguf_import.hpp>
#include <tinygpt/exchange/llmc.hpp>
#include <tinygpt/exchange/nanogpt.hpp>
#include <tinygpt/exchange/onnx.hpp>
#include <tinygpt/io/checkpoint.hpp>
#include <tinygpt/io/directory_lock.hpp>
#include <tinygpt/io/model_directory.hpp>

namespace tinygpt::cli {

struct ExportFlags {
  static constexpr const char *command = "export", *about = "Write a model in another project's format";
  std::string model, out, format = "hf", dtype = "float32";
  bool cut_vocab = false, best = false;
};

struct ImportFlags {
  static constexpr const char *command = "import", *about = "Make a model directory of another project's files";
  std::string from, out, activation = "gelu";
  int heads = 0;
};

/// A format that is written: its word, what it is, whether its flags are right, and what writes it.
struct ExportFormat {
  const char *word, *about;
  void (*check)(const ExportFlags&);
  void (*write)(const ExportFlags&, const ModelView&);
};

namespace exchange {

inline constexpr config_text::Words<StoredType, 3> stored_types{
    {{StoredType::float32, "float32"}, {StoredType::bfloat16, "bf16"}, {StoredType::float16, "float16"}}};

inline constexpr config_text::Words<GgufType, 6> gguf_types{{{GgufType::f32, "float32"},
                                                             {GgufType::bf16, "bf16"},
                                                             {GgufType::f16, "float16"},
                                                             {GgufType::q8_0, "q8_0"},
                                                             {GgufType::q4_0, "q4_0"},
                                                             {GgufType::q4_k, "q4_k"}}};

template <class Type, std::size_t N> Type dtype(const ExportFlags& flags, const config_text::Words<Type, N>& words) {
  if (const auto type = config_text::kind_of(words, flags.dtype)) return *type;
  throw UsageError("--dtype must be one of " + config_text::choices(words) + " for --format " + flags.format +
                   ", not '" + printable(flags.dtype) + "': see --help");
}
inline StoredType stored_type(const ExportFlags& flags) { return dtype(flags, stored_types); }

inline void check_stored_type(const ExportFlags& flags) { stored_type(flags); }
inline void check_gguf_type(const ExportFlags& flags) { dtype(flags, gguf_types); }

inline void write_hf(const ExportFlags& flags, const ModelView& model) {
  write_model_directory(flags.out, model, stored_type(flags));
}

inline void write_llmc(const ExportFlags& flags, const ModelView& model) {
  tinygpt::write_llmc(flags.out, model, stored_type(flags));
}

inline void write_gguf(const ExportFlags& flags, const ModelView& model) {
  const GgufType type = dtype(flags, gguf_types);
  tinygpt::write_gguf(flags.out, model, type);
  const std::size_t most = std::size(gguf::end_keys);
  const std::size_t ends =
      model.tokenizer && model.companions ? end_tokens(*model.companions, *model.tokenizer).size() : 0;
  if (ends > most) {
    std::printf("  ! of %zu ids that end a text a GGUF file can say %zu: the others are left out\n", ends, most);
  }
  for (const std::string& remark : gguf_remarks(model.config, type)) std::printf("  ! %s\n", remark.c_str());
}

template <OnnxCache cache> void write_onnx(const ExportFlags& flags, const ModelView& model) {
  OnnxOptions options;
  options.weights = stored_type(flags);
  tinygpt::write_onnx(flags.out, model, cache, options);
}

inline constexpr ExportFormat formats[] = {
    {"hf", "a directory as Hugging Face transformers reads it (float32, bf16 or float16)", check_stored_type, write_hf},
    {"gguf", "a file of llama.cpp's, for Ollama too (float32, bf16, float16, q8_0, q4_0 or q4_k)", check_gguf_type,
     write_gguf},
    {"llmc", "a checkpoint of llm.c's (float32 or bf16)", check_stored_type, write_llmc},
    {"onnx", "a graph for ONNX Runtime, from tokens to logits (float32, bf16 or float16 weights)", check_stored_type,
     write_onnx<OnnxCache::without>},
    {"onnx-with-past", "the same with keys and values of earlier tokens", check_stored_type,
     write_onnx<OnnxCache::with>},
};

/// The format that a word names.
inline const ExportFormat& format_named(const std::string& word) {
  std::string choices;
  for (const ExportFormat& format : formats) {
    if (word == format.word) return format;
    choices += (choices.empty() ? "" : ", ") + std::string(format.word);
  }
  throw UsageError("--format must be one of " + choices + ", not '" + printable(word) + "': see --help");
}

/// llm.c's, llama.cpp's and nanoGPT's are told by their first bytes and by their tensors.
inline std::optional<LoadedModel> read_foreign_file(const std::filesystem::path& path, const NanogptOptions& options) {
  std::array<std::byte, 9> first{};
  InputFile file(path);
  if (file.size() < static_cast<std::int64_t>(first.size())) return std::nullopt;
  file.read(first);
  if (is_llmc_model(first)) return read_llmc(path);
  if (std::memcmp(first.data(), "GGUF", 4) == 0) return read_gguf(path);
  if (first.back() == std::byte{'{'} && is_nanogpt(SafetensorsReader(path))) return read_nanogpt(path, options);
  return std::nullopt;
}

/// Somebody's model, as one of this architecture where one is given.
inline LoadedModel read_foreign(const ImportFlags& flags, const std::optional<Config>& expected) {
  const std::filesystem::path path = flags.from;
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) throw Error("there is no " + path.string() + ": check --from");
  if (std::filesystem::is_directory(status)) return read_model_directory(path, expected);
  NanogptOptions options{flags.heads, gelu};
  if (const auto kind = config_text::kind_of(config_text::activations, flags.activation)) {
    options.activation = *kind;
  } else {
    throw UsageError("--activation must be one of " + config_text::choices(config_text::activations) + ", not '" +
                     printable(flags.activation) + "': see --help");
  }
  if (auto model = read_foreign_file(path, options)) {
    if (!expected || model->config == *expected) return std::move(*model);
    throw Error(path.string() + " holds another architecture (" + differences(model->config, *expected) +
                "): import it with the program tinygpt, which takes any");
  }
  throw Error(path.string() +
              " is in an unknown format: give a directory with config.json and model.safetensors, as Hugging "
              "Face has them, a checkpoint of llm.c's, a GGUF file, or a state dict of nanoGPT's as .safetensors");
}

inline std::string parameters_text(const Config& config) {
  return grouped(ParamTable(config).param_count()) + " parameters";
}

}  // namespace exchange

inline void add_flags(CLI::App& app, ExportFlags& flags) {
  std::string formats = "Format:";
  for (const ExportFormat& format : exchange::formats) {
    formats += (format.word == exchange::formats[0].word ? " " : "; ") + std::string(format.word) + ", " + format.about;
  }
  add_path(app, "--model", "Directory of a model: what was --out in train, or a checkpoint; required", "DIR",
           flags.model);
  app.add_flag("--best", flags.best,
               "Of a training run take the checkpoint with the best validation loss, not the newest");
  add_path(app, "--out", "What to write; it must not be there yet; required", "PATH", flags.out);
  const auto word = [&](const char* flag, const std::string& help, std::string& value) {
    app.add_option_function<std::string>(
           flag, [&value](const std::string& text) { value = text; }, help + " (default " + value + ")")
        ->type_name("WORD")
        ->take_last();
  };
  word("--format", formats, flags.format);
  word("--dtype", "Type of the numbers", flags.dtype);
  app.add_flag("--cut-vocab", flags.cut_vocab,
               "Leave out the ids that the tokenizer has no token for: other programs may write them");
}

inline void add_flags(CLI::App& app, ImportFlags& flags) {
  add_path(app, "--from",
           "A directory with config.json and model.safetensors, in one file or in shards; or a checkpoint of llm.c's "
           "(model_*.bin); or a GGUF file; or a .safetensors file of a state dict of nanoGPT's; required",
           "PATH", flags.from);
  add_path(app, "--out", "Directory to write; it must not be there yet; required", "DIR", flags.out);
  app.add_option_function<int>(
         "--heads", [&flags](const int& heads) { flags.heads = heads; },
         "Of a nanoGPT model whose file does not say it: its n_head")
      ->type_name("N")
      ->take_last();
  app.add_option_function<std::string>(
         "--activation", [&flags](const std::string& word) { flags.activation = word; },
         "Of a nanoGPT model: gelu, or gelu_tanh where nanoGPT's model.py still had new_gelu (default gelu)")
      ->type_name("WORD")
      ->take_last();
}

/// `expected`: the only architecture that is taken; none where any is. warn(sentence): of a checkpoint that is passed
/// over.
inline Exit export_model(const ExportFlags& flags, const std::optional<Config>& expected,
                         const std::function<void(const std::string&)>& warn) {
  if (flags.model.empty()) throw UsageError("export needs --model DIR, the directory of a model: see --help");
  if (flags.out.empty()) throw UsageError("export needs --out PATH, where to write: see --help");
  const ExportFormat& format = exchange::format_named(flags.format);
  format.check(flags);
  const OutputLock lock(flags.out);
  expect_free(flags.out);
  if (flags.format.starts_with("onnx")) expect_free(flags.out + ".data");
  LoadedModel model = load_newest(
      flags.best ? best_checkpoint(flags.model) : std::filesystem::path(flags.model),
      [&](const std::filesystem::path& path) {
        LoadedModel read = read_model_directory(path, expected);
        expect_finite(path, read.config, read.weights);
        return read;
      },
      [&](const char* sentence) { warn(sentence + std::string("; reading the one before it")); });
  if (flags.cut_vocab && !model.tokenizer) {
    throw Error("--cut-vocab needs the tokenizer, and " + flags.model + " has none: leave it out");
  }
  if (flags.cut_vocab) cut_vocab(model);
  format.write(flags, model.view());
  if (const int unused = unused_ids(model); unused > 0) {
    std::printf(
        "  ! the model has %s ids and the tokenizer %s tokens: other programs may write the %s ids beyond, unless "
        "--cut-vocab leaves them out\n",
        grouped(model.config.vocab).c_str(), grouped(model.tokenizer->size()).c_str(), grouped(unused).c_str());
  }
  std::printf("%s\n  %s in %s\n", type_text(model.config).c_str(), exchange::parameters_text(model.config).c_str(),
              flags.out.c_str());
  const HfFit fit = hf_family(model.config);
  if (!fit.family && std::string_view(format.word) == "hf") {
    std::printf("  transformers does not know this architecture (%s): the tensors have tinygpt's own names\n",
                fit.why_not.c_str());
  }
  if (!model.tokenizer) std::printf("  without a tokenizer, as the model has none\n");
  return Exit::done;
}

inline Exit import_model(const ImportFlags& flags, const std::optional<Config>& expected) {
  if (flags.from.empty()) throw UsageError("import needs --from PATH, what to read: see --help");
  if (flags.out.empty()) throw UsageError("import needs --out DIR, where to write: see --help");
  const OutputLock lock(flags.out);
  expect_free(flags.out);
  const LoadedModel model = exchange::read_foreign(flags, expected);
  write_model_directory(flags.out, model.view(), StoredType::float32, Manifest::yes);
  std::printf("%s\n  %s in %s\n", type_text(model.config).c_str(), exchange::parameters_text(model.config).c_str(),
              flags.out.c_str());
  if (!model.tokenizer) std::printf("  without a tokenizer: put the tokenizer.json that it was trained with there\n");
  return Exit::done;
}

}  // namespace tinygpt::cli
