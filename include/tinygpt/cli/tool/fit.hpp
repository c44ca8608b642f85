// tinygpt fit: which presets train in how much memory, what each wants, and which one to take.
#pragma once

#include <tinygpt/cli/tool/advice.hpp>
#include <tinygpt/processors.hpp>

namespace tinygpt::cli::tool {

struct FitFlags {
  static constexpr const char *command = "fit", *about = "Say which presets train in how much memory";
  std::string memory, data_size, tokens, family;
  std::optional<Precision> precision;
  std::optional<BackendKind> backend;
  std::string throughput_of, tokens_per_second, measured_on, within = Limit{}.text;
  int context = 0;
  bool json = false;
};

inline void add_flags(CLI::App& app, FitFlags& flags) {
  add_text(app, "--memory", "Memory to train in, such as 8GiB (default the card's or the RAM)", "SIZE", flags.memory);
  add_text(app, "--data-size", "Size of the text, such as 50MB", "SIZE", flags.data_size);
  add_text(app, "--tokens", "Tokens of the data, such as 10M, instead", "N", flags.tokens);
  add_number<int>(app, "--context", "Train at this context", "the preset's",
                  Range<int>{"a whole number from 1 to 10000000", [](int n) { return n >= 1 && n <= 10'000'000; }},
                  [&](int n) { flags.context = n; });
  add_choice<Precision>(app, "--precision", "float32 or bf16", "bf16 on a gpu, and where this processor multiplies it",
                        config_text::precisions, [&](Precision p) { flags.precision = p; });
  add_choice<BackendKind>(app, "--backend", "cpu or gpu", "gpu where a card is found", backends,
                      [&](BackendKind b) { flags.backend = b; });
  add_text(app, "--family", "Only presets of this family", "F", flags.family);
  add_path(app, "--throughput-of", "Take the rate from the metrics.jsonl of this run", "FILE", flags.throughput_of);
  add_text(app, "--tokens-per-second", "Take this rate", "N", flags.tokens_per_second);
  add_text(app, "--measured-on", "The preset that --tokens-per-second is the rate of", "NAME", flags.measured_on);
  add_text(app, "--within", "How long training may take, such as 90m or 7d (default 24h)", "TIME", flags.within);
  app.add_flag("--json", flags.json, "Print JSON");
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
  if (!flags.measured_on.empty() && flags.tokens_per_second.empty()) {
    throw UsageError("--measured-on says whose rate --tokens-per-second is: give both");
  }
  // The card is asked only where its answer counts: a driver takes its time to begin.
  const bool ask = !flags.backend || (flags.backend == BackendKind::gpu && flags.memory.empty());
  const std::optional<Memory> card = ask ? gpu_memory() : std::nullopt;
  q.on.backend = flags.backend.value_or(card ? BackendKind::gpu : BackendKind::cpu);
  q.on.precision = flags.precision.value_or(q.on.backend == BackendKind::gpu || cpu::multiplies_bf16 ? bf16 : float32);
  if (!flags.data_size.empty()) q.data.bytes = static_cast<double>(parse_bytes("--data-size", flags.data_size));
  if (!flags.tokens.empty()) q.data.tokens = parse_count("--tokens", flags.tokens);
  q.within = {parse_duration("--within", flags.within), flags.within};
  if (!flags.throughput_of.empty()) {
    q.throughput = measured_throughput(flags.throughput_of);
  } else if (!flags.tokens_per_second.empty()) {
    const Config* const of = flags.measured_on.empty() ? nullptr : &preset_named(flags.measured_on).config;
    q.throughput = known_throughput(parse_count("--tokens-per-second", flags.tokens_per_second), of, Evidence::stated,
                                    "--tokens-per-second");
  } else if (q.on.backend == BackendKind::cpu) {
    q.throughput = assumed_throughput(hardware_threads());
  }
  if (!flags.memory.empty()) {
    q.memory = {parse_bytes("--memory", flags.memory), "--memory"};
  } else {
    const auto found = q.on.backend == BackendKind::gpu ? card : machine_memory();
    if (!found) {
      throw UsageError(q.on.backend == BackendKind::gpu ? "NVIDIA's driver says the memory of no card here: give --memory 8GiB"
                                          : "this system does not say how much memory it has: give --memory 8GiB");
    }
    q.memory = *found;
  }
  return q;
}

inline std::string data_text(const Data& data) {
  if (data.tokens > 0) return short_count(data.tokens) + " tokens of data";
  return data.bytes > 0 ? size_text(static_cast<std::int64_t>(data.bytes)) + " of text" : "";
}

inline Report fit_report(const FitQuestion& q, const std::vector<FitRow>& rows, const Recommendation& take) {
  Report report{{"memory_bytes", q.memory.bytes},
                {"memory_source", q.memory.source},
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
             {"tokens_wanted", row.wanted},
             {"documents_say", rule_of_thumb(row.parameters)}};
    if (row.config != row.preset->config) r["type"] = type_text(row.config);
    if (row.seconds > 0) r["seconds"] = row.seconds, r["tokens_per_second"] = row.rate;
    report["presets"].push_back(r);
  }
  report["recommendation"] = {{"name", take.row ? Report(take.row->preset->name) : Report(nullptr)},
                              {"reason", take.reason}};
  return report;
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
    throw UsageError("there is no family '" + printable(flags.family) + "': tinygpt presets shows them");
  const Recommendation take = recommend(rows, q.data, q.throughput, q.within);
  if (flags.json) return print(fit_report(q, rows, take));

  std::printf("%s of memory (%s)%s%s\n", memory_text(q.memory.bytes).c_str(), printable(q.memory.source).c_str(),
              data_text(q.data).empty() ? "" : ", ", data_text(q.data).c_str());
  const std::string precision = config_text::word_of(config_text::precisions, q.on.precision);
  if (q.on.backend == BackendKind::gpu) {
    std::printf("In %s on the gpu; what CUDA takes for itself and its kernels, some hundred MiB, is not counted.\n",
                precision.c_str());
  } else {
    std::printf("In %s on the cpu.\n", precision.c_str());
  }
  const bool assumed = q.throughput && q.throughput->evidence == Evidence::assumed;
  std::vector<std::vector<std::string>> table{{"preset", "parameters", "context", "largest batch", "with blocks", "to train with",
                                               "takes", "wants tokens", "documents say",
                                               assumed ? "time (assumed)" : "time"}};
  if (!q.throughput) table[0].pop_back();
  for (const FitRow& row : rows) {
    const auto batch = [](std::int64_t n) { return n == 0 ? "-" : (n == most_batch ? ">= " : "") + grouped(n); };
    const std::string recompute =
        row.recompute == Recompute::none ? "" : ", " + config_text::word_of(config_text::recomputes, row.recompute);
    table.push_back({std::string(row.preset->name), grouped(row.parameters), grouped(row.config.ctx),
                     batch(row.largest), batch(row.largest_recomputing),
                     row.fits() ? std::to_string(row.batch) + " x " + std::to_string(row.accumulation) + recompute : "-",
                     memory_text(row.bytes), short_count(row.wanted), rule_of_thumb(row.parameters)});
    if (q.throughput) table.back().push_back(row.fits() ? long_duration_text(row.seconds) : "-");
  }
  std::printf("\n%s\n", table_text(table, "lrrrrlrrll").c_str());
  std::printf(
      "With blocks: the largest batch with --recompute blocks. To train with: batch x accumulation for the preset's own\n"
      "tokens per step; what does not fit takes what is shown for a batch of 1. Wants tokens: 20 per parameter (Hoffmann et\n"
      "al. 2022).%s\n\n",
      q.throughput ? " Time: for those, or for four passes over less data." : "");
  if (assumed) {
    std::printf(
        "No rate was given, so one is assumed: %s, a quarter of what docs/benchmarks/cpu.md\n"
        "has for a core. --throughput-of RUN takes what a run of yours measured.\n\n",
        q.throughput->source.c_str());
  }
  if (q.data.bytes > 0) {
    std::printf("A token is taken for %g bytes of text, or for one byte where the vocabulary has %d or less.\n\n",
                bytes_per_token, byte_vocabulary);
  }
  if (take.row && take.row->config != take.row->preset->config) {
    std::printf(
        "These are the presets with another context; such a one is built by\n  tinygpt_add_preset(%s_%d TYPE "
        "\"%s\")\n\n",
        std::string(take.row->preset->name).c_str(), flags.context, type_text(take.row->config).c_str());
  }
  std::printf("Take %s: %s.\n", take.row ? std::string(take.row->preset->name).c_str() : "none", take.reason.c_str());
  return Exit::done;
}

}  // namespace tinygpt::cli::tool
