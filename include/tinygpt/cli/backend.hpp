// Which backend a command runs on: what the user asked for, or the gpu where one can be used; and one line saying which
// and why.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include <tinygpt/cli/flags.hpp>
#include <tinygpt/cli/memory.hpp>
#include <tinygpt/cli/model.hpp>
#include <tinygpt/error.hpp>
#include <tinygpt/processors.hpp>

namespace tinygpt::cli {

enum class BackendKind { cpu, gpu };
inline constexpr config_text::Words<BackendKind, 2> backends{{{BackendKind::gpu, "gpu"}, {BackendKind::cpu, "cpu"}}};

struct BackendFlags {
  std::optional<BackendKind> backend;
  std::optional<Precision> precision;
  int threads = 0, device = 0;
};

inline void add_flags(CLI::App& app, BackendFlags& flags) {
  add_choice<BackendKind>(app, "--backend", "What computes: gpu or cpu", "gpu where one can be used", backends,
                          [&](BackendKind b) { flags.backend = b; });
  add_choice<Precision>(app, "--precision", "Weights and activations as float32 or bf16",
                        "bf16 where the gpu or the processor multiplies it", config_text::precisions,
                        [&](Precision p) { flags.precision = p; });
  add_number<int>(app, "--device", "Which of several GPUs", "0", zero_or_more_int, [&](int n) { flags.device = n; });
  add_number<int>(app, "--threads",
                  "Threads of the cpu backend; 0 for all of the machine's; any number gives the same bits", "0",
                  zero_or_more_int, [&](int n) { flags.threads = n; });
}

/// What the user said of the backend, as flags again.
inline std::string flags_text(const BackendFlags& flags) {
  std::string text;
  if (flags.backend) text += " --backend " + config_text::word_of(backends, *flags.backend);
  if (flags.precision) text += " --precision " + config_text::word_of(config_text::precisions, *flags.precision);
  if (flags.device > 0) text += " --device " + std::to_string(flags.device);
  if (flags.threads > 0) text += " --threads " + std::to_string(flags.threads);
  return text;
}

/// A backend that was chosen, and how it is to run.
struct Chosen {
  const ModelOn* model = nullptr;
  Execution how;
  std::optional<Gpu> gpu;  ///< empty on the cpu
  std::string place;       ///< "2 threads", "NVIDIA H200 in bf16"
  std::string line;        ///< which, and why

  /// Bytes that can be had there; -1 where the system does not say.
  std::int64_t available() const { return gpu ? gpu->free : available_memory(); }
};

/// Throws Error where what the user asked for cannot be had.
inline Chosen choose(const Model& model, const BackendFlags& flags) {
  Gpu none;
  none.why_not = "this program was built without CUDA";
  const bool asked = flags.backend == BackendKind::gpu;
  const bool ask = flags.backend != BackendKind::cpu;
  const Gpu gpu = !ask ? Gpu{} : model.gpu == nullptr ? none : model.gpu->find(flags.device);
  if (asked && !gpu.why_not.empty()) {
    throw Error("the gpu backend is not available: " + gpu.why_not + ", or use --backend cpu");
  }
  if (ask && gpu.why_not.empty()) {
    const Precision precision = gpu.bf16 ? flags.precision.value_or(bf16) : float32;
    const bool too_old = flags.precision == bf16 && !gpu.bf16;
    const std::string word = config_text::word_of(config_text::precisions, precision);
    return {model.gpu,
            {flags.threads, precision, flags.device},
            gpu,
            gpu.name + " in " + word,
            "backend: gpu, " + gpu.name + ", " + word + (too_old ? " (this card has no bf16)" : "") + "; " +
                memory_text(gpu.free) + " of " + memory_text(gpu.total) + " free"};
  }
  const int threads = flags.threads > 0 ? flags.threads : hardware_threads();
  const std::string place = std::to_string(threads) + (threads == 1 ? " thread" : " threads");
  const Precision precision = flags.precision.value_or(model.cpu_build.precision());
  const std::string lacking = model.cpu_build.multiplies_bf16 ? "" : "; this processor does not multiply bf16";
  return {&model.cpu,
          {flags.threads, precision, 0},
          std::nullopt,
          place,
          "backend: cpu, " + place + ", " + config_text::word_of(config_text::precisions, precision) + " (" +
              (ask ? gpu.why_not.substr(0, gpu.why_not.find(": ")) : "as asked for") + lacking + ")"};
}

}  // namespace tinygpt::cli
