// A model as a person describes it in JSON: architecture and training values side by side, every mistake reported.
//
//   {"n_layer": 8, "n_embd": 512, "n_head": 8, "block_size": 512, "vocab_size": 50304, "batch_size": 16,
//    "dropout": 0.1, "bias": false}
#pragma once

#include <climits>
#include <set>
#include <string>
#include <vector>

#include <tinygpt/io/config_json.hpp>
#include <tinygpt/io/located_json.hpp>
#include <tinygpt/io/nearest_word.hpp>
#include <tinygpt/io/size_check.hpp>
#include <tinygpt/train/options.hpp>

namespace tinygpt {

struct ModelFile {
  std::string name, description;
  Config config;
  TrainOptions training;
  std::vector<Mistake> mistakes;   ///< in the order of the file; empty: the rest holds
  std::vector<std::string> notes;  ///< what is right and has no effect
};

namespace model_file {

inline const std::vector<std::string> required{"batch_size", "block_size", "vocab_size", "n_embd",
                                               "n_head",     "n_layer",    "dropout",    "bias"};
inline const std::vector<std::string> optional{
    "name",         "description",  "device",    "n_kv_head",     "ffn_hidden",      "tie_weights",   "pos_encoding",
    "mlp_type",     "norm_type",    "norm_eps",  "qk_norm",       "rope_theta",      "learning_rate", "max_iters",
    "warmup_iters", "weight_decay", "grad_clip", "eval_interval", "grad_accum_steps"};

/// Keys of nanoGPT's configs, which are near to ours, and what says the same here: another key, or a flag of train.
struct ForeignKey {
  const char *key, *here;
};
inline constexpr ForeignKey foreign_keys[] = {
    {"gradient_accumulation_steps", "grad_accum_steps"},
    {"min_lr", "train has --min-learning-rate, and takes a tenth of the learning rate without it"},
    {"beta1", "train has --beta1"},
    {"beta2", "train has --beta2"},
    {"lr_decay_iters", "the learning rate falls until max_iters"},
    {"decay_lr", "the learning rate always falls, to --min-learning-rate of train"},
    {"eval_iters", "train has --eval-iters"},
    {"log_interval", "train logs every iteration"},
    {"out_dir", "train has --out"},
    {"dataset", "train has --dataset-dir and --input-file"},
    {"init_from", "train has --resume and --init-from-model"},
    {"dtype", "train has --precision"},
    {"seed", "train has --seed"},
    {"compile", "every program is compiled"},
    {"backend", "train has --backend"},
    {"eval_only", "train always trains"},
    {"always_save_checkpoint", "train has --checkpoint-interval"},
    {"wandb_log", "train writes metrics.jsonl"},
    {"wandb_project", "train writes metrics.jsonl"},
    {"wandb_run_name", "train writes metrics.jsonl"},
};

/// The words of the file for the kinds.
inline constexpr config_text::Words<NormKind, 2> norms{{{NormKind::layer, "layernorm"}, {NormKind::rms, "rmsnorm"}}};
inline constexpr config_text::Words<PositionKind, 2> positions{
    {{PositionKind::learned, "learned"}, {PositionKind::rope, "rope"}}};

/// Takes one field after the other out of an object and notes what is wrong with each.
class Reader {
 public:
  Reader(const LocatedObject& object, ModelFile& file) : object_(object), file_(file) {}

  const LocatedMember* find(const std::string& key) const {
    for (const auto& member : object_.members) {
      if (member.key == key) return &member;
    }
    return nullptr;
  }

  void wrong(const std::string& field, std::string what, std::string write, std::string advice = {}) {
    const auto* const member = find(field);
    file_.mistakes.push_back({member ? member->line : object_.last_line, field, std::move(what), std::move(write), std::move(advice)});
  }

  /// A whole number from `least` to `most`. What is wrong leaves `value` as it is.
  template <class N> void count(const char* key, N& value, std::int64_t least, std::int64_t most) {
    const auto* const m = find(key);
    if (!m) return;
    const std::string is = ", not " + m->text;
    const auto in_range = [&](double x) {
      return std::to_string(
          static_cast<std::int64_t>(std::clamp(x, static_cast<double>(least), static_cast<double>(most))));
    };
    if (m->value.is_string()) {
      const auto text = m->value.get<std::string>();
      const bool digits =
          !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
      wrong(key, "must be a number, not a string: " + m->text,
            digits ? in_range(std::stod(text)) + ", without quotes" : "a whole number");
    } else if (m->value.is_number_float()) {
      const double x = m->value.get<double>();
      const std::string below = in_range(std::floor(x)), above = in_range(std::ceil(x));
      wrong(key, "must be a whole number" + is, below == above ? below : below + " or " + above);
    } else if (!m->value.is_number()) {
      wrong(key, "must be a whole number" + is, "a whole number");
    } else if (m->value.is_number_unsigned() && m->value.get<std::uint64_t>() > static_cast<std::uint64_t>(most)) {
      wrong(key, "must be at most " + std::to_string(most) + is, std::to_string(most));
    } else if (m->value.get<std::int64_t>() < least) {
      wrong(key, "must be " + std::to_string(least) + " or more" + is, std::to_string(least));
    } else {
      value = static_cast<N>(m->value.get<std::int64_t>());
    }
  }

  /// A number for which `holds` says yes.
  void number(const char* key, double& value, const char* range, bool (*holds)(double), const char* example) {
    const auto* const m = find(key);
    if (!m) return;
    if (!m->value.is_number()) return wrong(key, "must be " + std::string(range) + ", not " + m->text, example);
    const double x = m->value.get<double>();
    if (!holds(x)) return wrong(key, "must be " + std::string(range) + ", not " + m->text, example);
    value = x;
  }

  void flag(const char* key, bool& value) {
    const auto* const m = find(key);
    if (!m) return;
    if (m->value.is_boolean()) {
      value = m->value.get<bool>();
    } else {
      const bool yes = m->text == "1" || m->text == "\"true\"" || m->text == "\"True\"" || m->text == "\"yes\"";
      wrong(key, "must be true or false, not " + m->text, yes ? "true" : "false");
    }
  }

  void text(const char* key, std::string& value) {
    const auto* const m = find(key);
    if (m && !m->value.is_string()) return wrong(key, "must be a text in quotes, not " + m->text, "\"...\"");
    if (m) value = m->value.get<std::string>();
  }

  template <class Kind, std::size_t N>
  void word(const char* key, Kind& value, const config_text::Words<Kind, N>& words) {
    const auto* const m = find(key);
    if (!m) return;
    const std::string given = m->value.is_string() ? m->value.get<std::string>() : m->text;
    std::string choices;
    std::vector<std::string> known;
    for (const auto& [kind, w] : words) {
      if (m->value.is_string() && w == given) return void(value = kind);
      choices += (choices.empty() ? "" : ", ") + std::string(w);
      known.emplace_back(w);
    }
    const auto near = nearest_words(given, known);
    wrong(key, "must be one of " + choices + ", not " + m->text,
          "\"" + (near.empty() ? known.front() : near.front()) + "\"");
  }

  /// Keys that nobody knows, that come twice, or that are missing.
  void check_keys() {
    std::vector<std::string> known = required;
    known.insert(known.end(), optional.begin(), optional.end());
    std::set<std::string> seen;
    for (const auto& [key, line, value, text] : object_.members) {
      if (key.starts_with("comment")) continue;
      const std::string shown = printable(key).substr(0, 60);
      if (!seen.insert(key).second) {
        file_.mistakes.push_back({line, shown, "is there twice", "", "remove one of the two"});
      } else if (std::find(known.begin(), known.end(), key) == known.end()) {
        const auto foreign = std::find_if(std::begin(foreign_keys), std::end(foreign_keys),
                                          [&word = key](const auto& f) { return f.key == word; });
        if (foreign != std::end(foreign_keys)) {
          const bool known_here = std::find(known.begin(), known.end(), foreign->here) != known.end();
          file_.mistakes.push_back({line, shown, "is nanoGPT's word", known_here ? foreign->here : "",
                                    known_here ? "" : "remove it: " + std::string(foreign->here)});
          if (known_here) seen.insert(foreign->here);
          continue;
        }
        const auto near = nearest_words(key, known);
        const bool found = !near.empty();
        file_.mistakes.push_back({line, shown, "is not a known key", found ? near.front() : "",
                                  found ? "" : "remove it, or begin its name with comment"});
        if (found) seen.insert(near.front());  // misspelled, so not missing as well
      }
    }
    for (const auto& key : required) {
      if (!seen.contains(key)) file_.mistakes.push_back({object_.last_line, key, "is missing", "\"" + key + "\": ..."});
    }
  }

 private:
  const LocatedObject& object_;
  ModelFile& file_;
};

inline void read_architecture(Reader& reader, Config& c) {
  for (const auto& [name, member, most] : size_fields) {
    if (std::string_view(name) == "head_dim") continue;  // the file has no word for it: n_embd / n_head
    c.*member = 0;
    reader.count(name, c.*member, 1, most);
  }
  bool tie = true, bias = false;
  reader.flag("tie_weights", tie);
  reader.flag("bias", bias);
  reader.flag("qk_norm", c.qk_norm);
  c.head = tie ? tied : untied;
  c.bias = bias ? BiasSet::all : BiasSet::none;
  reader.word("mlp_type", c.activation, config_text::activations);
  reader.word("norm_type", c.norm, norms);
  c.norm_eps = 0;
  reader.number("norm_eps", c.norm_eps, "a number from 1e-12 to 0.1", norm_eps_fits, "1e-5");
  c.norm_eps = plain_norm_eps(c.norm_eps);
  reader.word("pos_encoding", c.positions, positions);
  double theta = c.rope_base;
  reader.number(
      "rope_theta", theta, "a whole number from 1 to 2147483647",
      [](double x) { return x >= 1 && x <= INT_MAX && x == std::floor(x); }, "10000");
  c.rope_base = static_cast<int>(theta);
  if (c.positions != rope && c.rope_base != Config{}.rope_base) {
    reader.wrong("rope_theta", "has no effect without \"pos_encoding\": \"rope\"", "", "remove it, or add pos_encoding");
  }
  check_sizes(c, [&](const char* field, std::string what, std::string write) {
    reader.wrong(field, std::move(what), std::move(write));
  });
}

inline void read_training(Reader& reader, TrainOptions& t) {
  constexpr std::int64_t most = 1'000'000'000'000;
  const auto above_zero = [](double x) { return x > 0 && x <= 1e30; };
  const auto not_negative = [](double x) { return x >= 0 && x <= 1e30; };
  reader.count("batch_size", t.batch_size, 1, 1'000'000);
  reader.count("grad_accum_steps", t.grad_accum_steps, 1, 1'000'000);
  reader.count("max_iters", t.max_iters, 1, most);
  reader.count("warmup_iters", t.warmup_iters, 0, most);
  reader.count("eval_interval", t.eval_interval, 1, most);
  reader.number(
      "dropout", t.dropout, "a number from 0 to below 1", [](double x) { return x >= 0 && x < 1; }, "0.1");
  const double before = t.learning_rate;
  reader.number("learning_rate", t.learning_rate, "a number above 0", above_zero, "0.0003");
  if (t.learning_rate != before) t.min_learning_rate = t.learning_rate / 10;
  reader.number("weight_decay", t.weight_decay, "a number of 0 or more", not_negative, "0.1");
  reader.number("grad_clip", t.grad_clip, "a number of 0 or more", not_negative, "1.0");
}

}  // namespace model_file

/// Reads what `text` says; never throws for it.
inline ModelFile parse_model_file(std::string_view text) {
  ModelFile file;
  const LocatedObject object = parse_located(text);
  if (object.fault) {
    file.mistakes.push_back({object.fault->line, "", object.fault->what, ""});
    return file;
  }
  model_file::Reader reader(object, file);
  for (const char* const key : {"model_type", "architectures"}) {
    if (const auto* const member = reader.find(key)) {
      file.mistakes.push_back({member->line, key, "is a word of Hugging Face transformers, whose configs are read another way", "",
                               "run tinygpt config-from on the directory of this file"});
      return file;
    }
  }
  reader.check_keys();
  reader.text("name", file.name);
  reader.text("description", file.description);
  std::string device;
  reader.text("device", device);
  if (!device.empty()) file.notes.push_back("device has no effect: the program that is built says where it runs");
  model_file::read_architecture(reader, file.config);
  model_file::read_training(reader, file.training);
  if (file.mistakes.empty()) {
    file.config = completed(file.config);
    if (train_bytes_bound(file.config, file.training.batch_size) > 1e18) {
      reader.wrong("batch_size", "x block_size makes more activations than can be counted", "1");
    }
  }
  std::stable_sort(file.mistakes.begin(), file.mistakes.end(),
                   [](const Mistake& a, const Mistake& b) { return a.line < b.line; });
  return file;
}

inline ModelFile read_model_file(const std::filesystem::path& path) {
  return parse_model_file(read_small_file(path, 1'000'000));
}

/// Can a file say this architecture? It has no words for a head size of its own, for some biases only, for no
/// positions.
inline bool model_file_can_say(const Config& c) {
  return c.head_dim * c.query_heads == c.embd && c.positions != PositionKind::none &&
         (c.bias == BiasSet::none || c.bias == BiasSet::all);
}

/// The file of a model, for what a file can say.
inline nlohmann::ordered_json model_file_json(std::string_view name, const Config& c, const TrainOptions& t) {
  return {{"name", name},
          {"n_layer", c.layers},
          {"n_embd", c.embd},
          {"n_head", c.query_heads},
          {"n_kv_head", c.kv_heads},
          {"ffn_hidden", c.ffn},
          {"block_size", c.ctx},
          {"vocab_size", c.vocab},
          {"mlp_type", config_text::word_of(config_text::activations, c.activation)},
          {"norm_type", config_text::word_of(model_file::norms, c.norm)},
          {"norm_eps", c.norm_eps},
          {"pos_encoding", config_text::word_of(model_file::positions, c.positions)},
          {"rope_theta", c.rope_base},
          {"qk_norm", c.qk_norm},
          {"bias", c.bias == BiasSet::all},
          {"tie_weights", c.head == tied},
          {"batch_size", t.batch_size},
          {"grad_accum_steps", t.grad_accum_steps},
          {"dropout", t.dropout},
          {"learning_rate", t.learning_rate},
          {"max_iters", t.max_iters},
          {"warmup_iters", t.warmup_iters},
          {"weight_decay", t.weight_decay},
          {"grad_clip", t.grad_clip},
          {"eval_interval", t.eval_interval}};
}

}  // namespace tinygpt
