// tinygpt presets: a short list, all of them, or one preset in full.
#pragma once

#include <tinygpt/cli/info.hpp>
#include <tinygpt/cli/tool/catalogue.hpp>
#include <tinygpt/io/model_file.hpp>

namespace tinygpt::cli::tool {

struct PresetsFlags {
  static constexpr const char *command = "presets", *about = "List the presets, or show one in full";
  std::string family, name;
  bool all = false, json = false;
};

inline void add_flags(CLI::App& app, PresetsFlags& flags) {
  app.add_option("NAME", flags.name, "Show this preset in full");
  app.add_flag("--all", flags.all, "List every preset, with its sizes");
  add_text(app, "--family", "Every preset of this family: classic, gpt2, factory, modern, consumer, ...", "F",
           flags.family);
  app.add_flag("--json", flags.json, "Print JSON");
}

/// Everything that follows from a preset's type and its training defaults.
inline Report preset_report(const Preset& p) {
  const Config& c = p.config;
  const std::int64_t forward = forward_flops_per_token(c, c.ctx);
  return {{"name", p.name},
          {"family", p.family},
          {"label", p.label},
          {"parameters", ParamTable(c).param_count()},
          {"type", type_text(c)},
          {"architecture", config_to_json(c)},
          {"train_bytes", default_train_bytes(p)},
          {"generate_bytes", generate_bytes(c)},
          {"forward_flops_per_token", forward},
          {"train_flops_per_token", 3 * forward},
          {"config", model_file_json(p.name, c, p.defaults)},
          {"source", p.source}};
}

inline Exit show_one(const Preset& p, bool json) {
  const Config& c = p.config;
  const ParamTable table(c);
  if (json) {
    Report report = preset_report(p);
    for (const ParamRow& row : table) {
      report["tensors"].push_back({{"name", row.name}, {"shape", stored_shape(row)}, {"parameters", row.size()}});
    }
    return print(report);
  }
  const TrainOptions& t = p.defaults;
  const auto forward = static_cast<double>(forward_flops_per_token(c, c.ctx));
  const std::string batch =
      std::to_string(t.batch_size) + " x " + grouped(c.ctx) + " tokens" +
      (t.grad_accum_steps > 1 ? ", " + std::to_string(t.grad_accum_steps) + " times per step" : "");
  std::printf("%s\n\n", type_text(c).c_str());
  const std::vector<std::vector<std::string>> facts{
      {"name", std::string(p.name) + ", of the " + std::string(p.family) + " family"},
      {"parameters", grouped(table.param_count())},
      {"memory to train", memory_text(default_train_bytes(p)) + " in float32, " +
                              memory_text(default_train_bytes(p, bf16)) + " in bf16, on batches of " + batch},
      {"memory to generate",
       memory_text(generate_bytes(c)) + " in float32, " + memory_text(generate_bytes(c, bf16)) + " in bf16"},
      {"FLOPs per token", short_count(forward) + " forward, " + short_count(3 * forward) + " to train"},
      {"training defaults",
       format("learning rate %g, dropout %g, %lld iterations after %lld of warmup", t.learning_rate, t.dropout,
              static_cast<long long>(t.max_iters), static_cast<long long>(t.warmup_iters))},
      {"source", std::string(p.source)}};
  std::fputs(table_text(facts, "ll").c_str(), stdout);
  std::printf("\n%s", tensors_text(table).c_str());
  return Exit::done;
}

/// Bytes of memory in both precisions: "138.0 MiB / 120.1 MiB".
inline std::string memory_pair(std::int64_t in_float32, std::int64_t in_bf16) {
  return memory_text(in_float32) + " / " + memory_text(in_bf16);
}

inline Exit list_presets(std::vector<const Preset*> chosen) {
  const auto size = [](const Preset* p) { return ParamTable(p->config).param_count(); };
  std::stable_sort(chosen.begin(), chosen.end(), [&](const Preset* a, const Preset* b) { return size(a) < size(b); });
  std::vector<std::vector<std::string>> rows{
      {"preset", "parameters", "vocabulary", "context", "to train", "to generate"}};
  for (const Preset* const p : chosen) {
    const Config& c = p->config;
    rows.push_back({std::string(p->name), grouped(ParamTable(c).param_count()),
                    c.vocab <= byte_vocabulary ? "bytes" : grouped(c.vocab), grouped(c.ctx),
                    memory_pair(default_train_bytes(*p), default_train_bytes(*p, bf16)),
                    memory_pair(generate_bytes(c), generate_bytes(c, bf16))});
  }
  std::fputs(table_text(rows, "lrrrrr", Header::yes, {5, 3}).c_str(), stdout);
  std::fputs(fitted("\nMemory is in float32 / bf16; to train, that of the preset's own batch. These are " +
                    std::to_string(chosen.size()) + " of " + std::to_string(std::size(presets::registry)) +
                    " presets: tinygpt presets --all lists every one, and tinygpt presets NAME shows one in full.\n")
                 .c_str(),
             stdout);
  return Exit::done;
}

/// Every size, a table for each family. What others call a model stands last: its count is often another.
inline Exit list_families(const std::vector<const Preset*>& chosen) {
  for (std::size_t begin = 0, end; begin < chosen.size(); begin = end) {
    std::vector<std::vector<std::string>> rows{{std::string(chosen[begin]->family), "parameters", "L", "C", "heads",
                                                "F", "T", "V", "batch", "to train", "to generate", "FLOPs/token",
                                                "called"}};
    for (end = begin; end < chosen.size() && chosen[end]->family == chosen[begin]->family; ++end) {
      const Preset& p = *chosen[end];
      const Config& c = p.config;
      const auto text = [](int n) { return std::to_string(n); };
      const int accumulation = p.defaults.grad_accum_steps;
      rows.push_back({std::string(p.name), grouped(ParamTable(c).param_count()), text(c.layers), text(c.embd),
                      heads_text(c), text(c.ffn), text(c.ctx), text(c.vocab),
                      text(p.defaults.batch_size) + (accumulation > 1 ? " x " + text(accumulation) : ""),
                      memory_text(default_train_bytes(p)), memory_text(generate_bytes(c)),
                      short_count(3 * static_cast<double>(forward_flops_per_token(c, c.ctx))),
                      p.label.empty() ? "-" : std::string(p.label)});
    }
    std::printf("%s%s", begin == 0 ? "" : "\n",
                table_text(rows, "lrrrrrrrrrrrl", Header::yes, {12, 5, 11, 10, 4, 8, 7, 6, 3, 2}).c_str());
  }
  std::fputs(
      fitted("\nL layers, C width, heads query/key-value, F feed-forward width, T context, V vocabulary. Memory is in "
             "float32; to train, that of the batch shown. FLOPs/token are those of training. Called: what others call "
             "the model. tinygpt presets NAME shows one in full.\n")
          .c_str(),
      stdout);
  return Exit::done;
}

inline Exit run(const PresetsFlags& flags) {
  if (!flags.name.empty()) {
    if (!flags.family.empty()) throw UsageError("NAME and --family contradict each other: leave one of them out");
    if (flags.all) throw UsageError("NAME and --all contradict each other: leave one of them out");
    return show_one(preset_named(flags.name), flags.json);
  }
  std::vector<const Preset*> chosen;
  std::vector<std::string> families;
  for (const Preset& p : presets::registry) {
    const bool listed = flags.all || flags.json || in_short_list(p);
    if (flags.family.empty() ? listed : p.family == flags.family) chosen.push_back(&p);
    if (families.empty() || families.back() != p.family) families.emplace_back(p.family);
  }
  if (chosen.empty()) {
    std::string all;
    for (const auto& family : families) all += (all.empty() ? "" : ", ") + family;
    throw UsageError("there is no family '" + printable(flags.family) + "'" +
                     did_you_mean(flags.family, families, "the families are " + all));
  }
  if (!flags.json) return flags.all || !flags.family.empty() ? list_families(chosen) : list_presets(chosen);
  Report report = Report::array();
  for (const Preset* const p : chosen) report.push_back(preset_report(*p));
  return print(report);
}

}  // namespace tinygpt::cli::tool
