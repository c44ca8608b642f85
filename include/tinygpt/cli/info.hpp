// info: what an architecture is, before anything runs.
#pragma once

#include <string>
#include <vector>

#include <tinygpt/cli/exit.hpp>
#include <tinygpt/cli/flags.hpp>
#include <tinygpt/cli/model.hpp>
#include <tinygpt/cli/program.hpp>
#include <tinygpt/cli/table.hpp>
#include <tinygpt/cli/terminal.hpp>
#include <tinygpt/io/model_file.hpp>
#include <tinygpt/io/safetensors.hpp>
#include <tinygpt/io/trainer_state.hpp>
#include <tinygpt/layout/arena.hpp>

namespace tinygpt::cli {

struct InfoFlags {
  bool tensors = false;
  bool json = false;
};

inline void add_flags(CLI::App& app, InfoFlags& flags) {
  app.add_flag("--tensors", flags.tensors, "List every tensor: name, shape, parameters, initialisation, weight decay");
  app.add_flag("--json", flags.json, "Print JSON: the architecture, counts, bytes and FLOPs");
}

/// Extents of a tensor as a checkpoint stores it: layers stacked on the first axis.
inline std::vector<std::int64_t> stored_shape(const ParamRow& row) {
  std::vector<std::int64_t> shape;
  if (row.per_layer) shape.push_back(row.layers);
  shape.push_back(row.rows);
  if (row.cols != 0) shape.push_back(row.cols);
  return shape;
}

inline const char* init_text(Init init) {
  switch (init) {
    case Init::normal:
      return "normal(0.02)";
    case Init::residual_normal:
      return "normal(0.02 / sqrt(2L))";
    case Init::zeros:
      return "0";
    case Init::ones:
      return "1";
  }
  return "?";
}

/// Every tensor as a table for people.
inline std::string tensors_text(const ParamTable& table) {
  std::vector<std::vector<std::string>> lines{{"tensor", "shape", "parameters", "initial values", "weight decay"}};
  for (const ParamRow& row : table) {
    lines.push_back({row.name, shape_text(stored_shape(row)), grouped(row.size()), init_text(row.init),
                     row.decay == Decay::yes ? "yes" : "no"});
  }
  return table_text(lines, "llrll", Header::yes, {4, 3});
}

inline Json info_json(const Program& program, const Model& model) {
  const Config& config = model.config;
  const Precision precision = model.cpu_build.precision();
  const ParamTable table(config);
  Json tensors = Json::array();
  for (const ParamRow& row : table) {
    tensors.push_back({{"name", row.name},
                       {"shape", stored_shape(row)},
                       {"parameters", row.size()},
                       {"init", init_text(row.init)},
                       {"weight_decay", row.decay == Decay::yes}});
  }
  const std::int64_t forward = forward_flops_per_token(config, config.ctx);
  const Json file =
      model_file_can_say(config) ? Json(model_file_json(program.preset, config, program.defaults)) : nullptr;
  const int batch = program.defaults.batch_size;
  return {{"name", program.preset},
          {"label", program.label.empty() ? Json(nullptr) : Json(program.label)},
          {"type", type_text(config)},
          {"architecture", config_to_json(config)},
          {"config", file},
          {"parameters", table.param_count()},
          {"train_defaults", options_to_json(program.defaults)},
          {"precision", config_text::word_of(config_text::precisions, precision)},
          {"train_bytes", train_bytes(config, Batch{batch}, Time{config.ctx}, precision)},
          {"train_batch_size", batch},
          {"generate_bytes", generate_bytes(config, precision)},
          {"forward_flops_per_token", forward},
          {"train_flops_per_token", 3 * forward},
          {"tensors", tensors}};
}

inline Exit info(const Program& program, const Model& model, const InfoFlags& flags) {
  if (flags.json) {
    std::fputs(json_text(info_json(program, model)).c_str(), stdout);
    return Exit::done;
  }
  const Config& config = model.config;
  const CpuBuild& cpu = model.cpu_build;
  const Precision precision = cpu.precision();
  const ParamTable table(config);
  const TrainOptions& defaults = program.defaults;
  const int batch = defaults.batch_size;
  const auto forward = static_cast<double>(forward_flops_per_token(config, config.ctx));
  const std::string in_precision = " in " + config_text::word_of(config_text::precisions, precision);
  std::printf("%s\n\n", type_text(config).c_str());
  const std::vector<std::vector<std::string>> rows{
      {"name", program.preset},
      {"parameters", grouped(table.param_count()) + " (" + short_count(static_cast<double>(table.param_count())) + ")" +
                         (program.label.empty() ? "" : "; called " + program.label + " elsewhere")},
      {"memory to train", memory_text(train_bytes(config, Batch{batch}, Time{config.ctx}, precision)) + in_precision +
                              " with --batch-size " + std::to_string(batch) +
                              ": weights, gradients, AdamW's moments, activations"},
      {"memory to generate", memory_text(generate_bytes(config, precision)) + in_precision +
                                 ": weights, activations and " + memory_text(kv_cache_bytes(config, precision)) +
                                 " of keys and values"},
      {"FLOPs per token", short_count(forward) + " forward, " + short_count(3 * forward) +
                              " to train, at the full context of " + grouped(config.ctx) + " tokens"},
      {"trained by default",
       std::to_string(batch) +
           (defaults.grad_accum_steps > 1 ? " x " + std::to_string(defaults.grad_accum_steps) : "") +
           " sequences a step, " + grouped(defaults.max_iters) + " steps, learning rate " +
           shown(defaults.learning_rate) + " after " + grouped(defaults.warmup_iters) + " of warmup, dropout " +
           shown(defaults.dropout)},
      {"on the cpu", config_text::word_of(config_text::precisions, precision) + ", with products compiled for " +
                         cpu.vectors +
                         (cpu.multiplies_bf16 ? ", which multiply bf16" : ", which do not multiply bf16") +
                         (cpu.onednn.empty() ? "" : "; large ones by oneDNN " + cpu.onednn)},
  };
  std::fputs(table_text(rows, "ll").c_str(), stdout);
  if (flags.tensors) std::printf("\n%s", tensors_text(table).c_str());
  return Exit::done;
}

}  // namespace tinygpt::cli
