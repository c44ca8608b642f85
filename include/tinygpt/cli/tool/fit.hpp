// tinygpt fit: which presets train in how much memory, how much text each wants, and which one to take.
#pragma once

#include <tinygpt/cli/tool/advice.hpp>
#include <tinygpt/processors.hpp>

namespace tinygpt::cli::tool {

struct FitFlags {
  static constexpr const char *command = "fit",
                              *about = "Say which presets train in how much memory, and which to take";
  std::string card, gpu, memory, data_size, tokens, family;
  std::optional<Precision> precision;
  std::optional<BackendKind> backend;
  std::string throughput_of, tokens_per_second, measured_on, within = Limit{}.text;
  int context = 0;
  bool all = false, json = false;
};

inline void add_flags(CLI::App& app, FitFlags& flags) {
  app.add_option("CARD", flags.card, "The graphics card to train on, such as \"RTX 4070 Ti\"");
  group(app, "Machine");
  add_text(app, "--gpu", "The same as CARD", "CARD", flags.gpu);
  add_text(app, "--memory", "Memory to train in, such as 8GiB (default the card's or the RAM)", "SIZE", flags.memory);
  add_choice<Precision>(app, "--precision", "float32 or bf16", "bf16 on a gpu, and where this processor multiplies it",
                        config_text::precisions, [&](Precision p) { flags.precision = p; });
  add_choice<BackendKind>(app, "--backend", "cpu or gpu", "gpu where a card is named or found", backends,
                          [&](BackendKind b) { flags.backend = b; });
  group(app, "Data");
  add_text(app, "--data-size", "Size of the text, such as 50MB", "SIZE", flags.data_size);
  add_text(app, "--tokens", "Instead, its tokens of about 4 bytes, such as 10M", "N", flags.tokens);
  group(app, "Model");
  add_text(app, "--family", "Only presets of this family", "F", flags.family);
  add_number<int>(app, "--context", "Train at this context", "the preset's",
                  Range<int>{"a whole number from 1 to 10000000", [](int n) { return n >= 1 && n <= 10'000'000; }},
                  [&](int n) { flags.context = n; });
  group(app, "Time");
  add_text(app, "--within", "How long training may take, such as 90m or 7d (default 24h)", "TIME", flags.within);
  add_path(app, "--throughput-of", "Take the rate that this training run measured", "DIR", flags.throughput_of);
  add_text(app, "--tokens-per-second", "Take this rate, of the preset in --measured-on", "N", flags.tokens_per_second);
  add_text(app, "--measured-on", "The preset that the rate is of", "NAME", flags.measured_on);
  group(app, "Output");
  app.add_flag("--all", flags.all, "Show every preset, not only a few of each size");
  app.add_flag("--json", flags.json, "Print JSON, with every preset");
}

/// What was asked, checked and with its defaults.
struct FitQuestion {
  Memory memory;
  TrainsOn on;
  std::optional<Throughput> throughput;
  Data data;
  Limit within;
};

inline FitQuestion question(const FitFlags& flags) {
  FitQuestion q;
  if (!flags.data_size.empty() && !flags.tokens.empty()) {
    throw UsageError("--data-size and --tokens contradict each other: leave one of them out");
  }
  if (!flags.throughput_of.empty() && !flags.tokens_per_second.empty()) {
    throw UsageError("--throughput-of and --tokens-per-second contradict each other: leave one of them out");
  }
  const bool rate = !flags.throughput_of.empty() || !flags.tokens_per_second.empty();
  if (!flags.measured_on.empty() && !rate) {
    throw UsageError("--measured-on says whose rate --tokens-per-second or --throughput-of is: give both");
  }
  if (!flags.tokens_per_second.empty() && flags.measured_on.empty()) {
    throw UsageError(
        "--tokens-per-second is of one model and says nothing of others alone: add --measured-on NAME, the preset "
        "that has this rate");
  }
  if (!flags.card.empty() && !flags.gpu.empty()) {
    throw UsageError("CARD and --gpu contradict each other: leave one of them out");
  }
  const std::string& named = flags.gpu.empty() ? flags.card : flags.gpu;
  if (!named.empty() && flags.backend == BackendKind::cpu) {
    throw UsageError("a graphics card and --backend cpu contradict each other: leave one of them out");
  }
  // The driver is asked only where its answer counts: it takes its time to begin.
  const bool ask = named.empty() && flags.backend != BackendKind::cpu && (!flags.backend || flags.memory.empty());
  const std::optional<Memory> card = !named.empty() ? named_card(named) : ask ? gpu_memory() : std::nullopt;
  const GraphicsCard* const known = card ? card->card : nullptr;
  q.on.backend = flags.backend.value_or(card ? BackendKind::gpu : BackendKind::cpu);
  const bool on_gpu = q.on.backend == BackendKind::gpu;
  if (on_gpu && known && !known->has_bf16() && flags.precision == bf16) {
    throw UsageError(with_article(known->name) + " has no bf16: use --precision float32");
  }
  const bool has_bf16 = on_gpu ? !known || known->has_bf16() : cpu::multiplies_bf16;
  q.on.precision = flags.precision.value_or(has_bf16 ? bf16 : float32);
  if (!flags.data_size.empty()) {
    q.data.bytes = static_cast<double>(parse_bytes("--data-size", flags.data_size, 1000, "MB"));
    q.data.text = text_amount(q.data.bytes) + " of text";
  }
  if (!flags.tokens.empty()) {
    const double tokens = parse_count("--tokens", flags.tokens);
    q.data = {bytes_per_token * tokens, short_count(tokens) + " tokens of text"};
  }
  q.within = {parse_duration("--within", flags.within), flags.within};
  const Config* const of = flags.measured_on.empty() ? nullptr : &preset_named(flags.measured_on).config;
  if (!flags.throughput_of.empty()) {
    q.throughput = measured_throughput(flags.throughput_of, of);
  } else if (!flags.tokens_per_second.empty()) {
    q.throughput = known_throughput(parse_count("--tokens-per-second", flags.tokens_per_second), *of, Evidence::stated,
                                    "--tokens-per-second");
  } else if (!on_gpu) {
    q.throughput = assumed_throughput(hardware_threads());
  } else if (known) {
    q.throughput = assumed_throughput(*known, q.on.precision);
  }
  const std::optional<Memory> found = on_gpu ? card : machine_memory();
  if (!flags.memory.empty()) {
    q.memory = {parse_bytes("--memory", flags.memory, 1 << 20, "GiB"), "--memory", known};
  } else if (found) {
    q.memory = *found;
  } else {
    throw UsageError(
        on_gpu ? "NVIDIA's driver says the memory of no card here: name the card with --gpu, or give --memory 8GiB"
               : "this system does not say how much memory it has: give --memory 8GiB");
  }
  return q;
}

/// What is stated of a card; 0: not known.
inline Report card_report(const GraphicsCard& card) {
  return {{"name", card.name},
          {"bandwidth_bytes_per_second", 1e9 * card.bandwidth},
          {"bf16_flops_per_second", card.peak_bf16()},
          {"float32_flops_per_second", card.peak_float32()}};
}

inline Report fit_report(const FitQuestion& q, const std::vector<FitRow>& rows, const Recommendation& take) {
  Report report{{"memory_bytes", q.memory.bytes},
                {"memory_source", q.memory.source},
                {"card", q.memory.card ? card_report(*q.memory.card) : Report(nullptr)},
                {"precision", config_text::word_of(config_text::precisions, q.on.precision)},
                {"backend", config_text::word_of(backends, q.on.backend)},
                {"within_seconds", q.within.seconds}};
  if (q.throughput) {
    report["rate"] = {{"assumed", q.throughput->evidence == Evidence::assumed}, {"source", q.throughput->source}};
    if (q.throughput->flops_per_second > 0) report["rate"]["flops_per_second"] = q.throughput->flops_per_second;
  }
  report["presets"] = Report::array();
  for (const FitRow& row : rows) {
    Report r{{"name", row.preset->name},
             {"parameters", row.parameters},
             {"context", row.config.ctx},
             {"fits", row.fits()},
             {"largest_batch", row.largest},
             {"largest_batch_recomputing", row.largest_recomputing},
             {"recompute", config_text::word_of(config_text::recomputes, row.recompute)},
             {"batch_size", row.batch},
             {"grad_accum_steps", row.accumulation},
             {"train_bytes", row.bytes},
             {"text_bytes_wanted", row.wanted},
             {"tokens_wanted", row.tokens(row.wanted)}};
    if (row.config != row.preset->config) r["type"] = type_text(row.config);
    if (row.seconds > 0) r["seconds"] = row.seconds, r["tokens_per_second"] = row.rate;
    report["presets"].push_back(r);
  }
  report["recommendation"] = {{"name", take.row ? Report(take.row->preset->name) : Report(nullptr)},
                              {"adapt", !take.commands.empty()},
                              {"reason", take.reason},
                              {"commands", take.commands}};
  return report;
}

inline std::string fit_table(const FitQuestion& q, const std::vector<FitRow>& rows, const Recommendation& take,
                             bool all) {
  const std::string precision = config_text::word_of(config_text::precisions, q.on.precision);
  const bool assumed = q.throughput && q.throughput->evidence == Evidence::assumed;
  std::vector<std::vector<std::string>> table{{"preset", "parameters", "context", "largest batch", "recomputing",
                                               "train with", "memory", "wants text",
                                               assumed ? "time (assumed)" : "time"}};
  if (!q.throughput) table[0].pop_back();
  std::size_t hidden = 0;
  for (const FitRow& row : rows) {
    if (!all && &row != take.row && !in_short_list(*row.preset)) {
      ++hidden;
      continue;
    }
    const auto batch = [](std::int64_t n) { return n == 0 ? "-" : (n == most_batch ? ">= " : "") + grouped(n); };
    const std::string recompute =
        row.recompute == Recompute::none ? "" : ", " + config_text::word_of(config_text::recomputes, row.recompute);
    table.push_back(
        {std::string(row.preset->name), grouped(row.parameters), grouped(row.config.ctx), batch(row.largest),
         batch(row.largest_recomputing),
         row.fits() ? std::to_string(row.batch) + " x " + std::to_string(row.accumulation) + recompute : "does not fit",
         memory_text(row.bytes), text_amount(row.wanted)});
    if (q.throughput) table.back().push_back(row.fits() ? long_duration_text(row.seconds) : "-");
  }
  std::string text = table_text(table, q.throughput ? "lrrrrlrrr" : "lrrrrlrr", Header::yes, {2, 4, 3, 6, 5, 7});
  std::string notes =
      "\nLargest batch: as it is; recomputing: with --recompute blocks (activation checkpointing). Train with: "
      "--batch-size x --grad-accum-steps for the preset's own tokens per step. Memory: for that batch in " +
      precision +
      ", or for a batch of 1 where the preset does not fit. Wants text: 20 tokens per parameter (Hoffmann et al. "
      "2022), of " +
      shown(bytes_per_token) + " bytes each." +
      (q.throughput ? " Time: for that text, or for four passes over yours where it is less." : "");
  if (hidden > 0) notes += " " + std::to_string(hidden) + " more presets: --all.";
  if (assumed) {
    notes += "\n\nThe time is an estimate. No rate was given, so this one is assumed: " + q.throughput->source +
             ". --throughput-of RUN takes what a run of yours measured.";
  }
  return text + fitted(notes + "\n\n");
}

inline Exit run(const FitFlags& flags) {
  const FitQuestion q = question(flags);
  std::vector<FitRow> rows;
  for (const Preset& preset : presets::registry) {
    if (flags.family.empty() || preset.family == flags.family) {
      rows.push_back(fit_row(preset, flags.context, q.memory.bytes, q.on, q.throughput, q.data));
    }
  }
  if (rows.empty())
    throw UsageError("there is no family '" + printable(flags.family) + "': tinygpt presets --all shows them");
  std::stable_sort(rows.begin(), rows.end(),
                   [](const FitRow& a, const FitRow& b) { return a.parameters < b.parameters; });
  const Recommendation take = recommend(rows, q.data, q.throughput, q.within);
  if (flags.json) {
    print(fit_report(q, rows, take));
  } else {
    const bool gpu = q.on.backend == BackendKind::gpu;
    std::string head = memory_text(q.memory.bytes) + " of memory (" + printable(q.memory.source) + ")";
    if (q.data.known()) head += ", " + q.data.text;
    head +=
        "\nIn " + config_text::word_of(config_text::precisions, q.on.precision) + " on the " + (gpu ? "gpu" : "cpu");
    if (gpu) head += "; what CUDA takes for itself and its kernels, some hundred MiB, is not counted";
    std::fputs((fitted(head + ".\n\n") + fit_table(q, rows, take, flags.all || !flags.family.empty())).c_str(), stdout);
  }
  if (take.row == nullptr) {
    throw Error("no preset fits: not even one sequence at a time trains in " + memory_text(q.memory.bytes) +
                " of memory: give more --memory, or a shorter --context");
  }
  if (flags.json) return Exit::done;
  if (take.row->config != take.row->preset->config) {
    std::fputs(fitted("These are the presets with another context; such a one is built by\n  tinygpt_add_preset(" +
                      std::string(take.row->preset->name) + "_" + std::to_string(flags.context) + " TYPE \"" +
                      type_text(take.row->config) + "\")\n\n")
                   .c_str(),
               stdout);
  }
  const std::string name(take.row->preset->name);
  std::fputs(
      fitted((take.commands.empty() ? "Train " + name + ". " : "Adapt " + name + ", which is trained already. ") +
             take.reason + "\n")
          .c_str(),
      stdout);
  for (const std::string& command : take.commands) std::fputs(("\n" + fitted_command(command)).c_str(), stdout);
  return Exit::done;
}

}  // namespace tinygpt::cli::tool
