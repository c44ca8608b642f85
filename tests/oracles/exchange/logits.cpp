// This project's side of a comparison with other people's code, for onnx_runtime.py, llmc.py and nanogpt.py: models of
// fixed types (tests/support/oracle_models.hpp), their logits, and files of them.
//
//   list                                            one line of JSON per model
//   MODEL logits WEIGHTS BATCH TIME                  int32 ids on stdin -> logits (B, T, V), float32, on stdout
//   MODEL onnx WEIGHTS FILE with|without [float32|float16|bfloat16 [MOST_INSIDE]]
//   MODEL llmc WEIGHTS FILE [float32|bfloat16]
//
// MODEL is a number. WEIGHTS is seed:N, llmc:FILE or nanogpt:FILE, or a file that holds the arena of ParamTable(config)
// in float32.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>

#include <oracle_models.hpp>

#include <tinygpt/cpu/cpu.hpp>
#include <tinygpt/exchange/llmc.hpp>
#include <tinygpt/exchange/nanogpt.hpp>
#include <tinygpt/exchange/onnx.hpp>
#include <tinygpt/io/config_json.hpp>
#include <tinygpt/train/step.hpp>

using namespace tinygpt;

namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error(what + ": see the comment at the top of the source"); }

std::vector<float> weights_of(const Config& config, const std::string& source) {
  if (source.starts_with("seed:")) return test::oracle_weights(config, std::stoull(source.substr(5)));
  if (const bool llmc = source.starts_with("llmc:"); llmc || source.starts_with("nanogpt:")) {
    const std::string file = source.substr(source.find(':') + 1);
    LoadedModel model = llmc ? read_llmc(file) : read_nanogpt(file, {0, config.activation});
    if (model.config != config) refuse(source + " holds another model (" + type_text(model.config) + ")");
    return std::move(model.weights);
  }
  const std::string bytes = read_small_file(source);
  std::vector<float> arena(static_cast<std::size_t>(ParamTable(config).arena_size()));
  if (bytes.size() != arena.size() * sizeof(float)) refuse(source + " is not an arena of this model");
  std::memcpy(arena.data(), bytes.data(), bytes.size());
  return arena;
}

template <class M>
std::vector<float> logits_of(std::span<const float> weights, std::vector<std::int32_t> ids, int B, int T) {
  cpu::Context ctx(1);
  using Views = Activations<M, float>;
  const ActivationPlan plan = Views::plan(B, T);
  Arena<std::byte> arena(plan.bytes());
  const Views act(arena.data(), plan, B, T);
  if (const auto table = act.rope_table()) fill_rope(ctx, table, M::config.rope_base);
  Arena<float> aligned(M::params.arena_size());
  std::copy(weights.begin(), weights.end(), aligned.data());
  const Params<M, const float> w(aligned.data());
  forward<M>(ctx, w, act, TokenIds(ids.data(), B, T));
  using V = typename AxesOf<M>::V;
  std::vector<float> logits(static_cast<std::size_t>(B) * static_cast<std::size_t>(T) * V::value);
  const Tensor<float, Batch<dyn>, Time<dyn>, V> out(logits.data(), B, T);
  linear(ctx, out, read(act.normed(2 * M::config.layers)), w.head_weight(), w.head_bias());
  return logits;
}

StoredType stored_type(const std::string& name) {
  if (name == "float32") return StoredType::float32;
  if (name == "float16") return StoredType::float16;
  if (name == "bfloat16") return StoredType::bfloat16;
  refuse("'" + name + "' is no type");
}

void run(const std::vector<std::string>& args) {
  const auto arg = [&](std::size_t i) -> const std::string& {
    if (i >= args.size()) refuse("an argument is missing");
    return args[i];
  };
  if (arg(0) == "list") {
    for (int m = 0; m < test::oracle_model_count; ++m) {
      test::with_oracle_model(m, [&]<class M>() {
        std::cout << Json{{"number", m}, {"type", type_text(M::config)}, {"config", config_to_json(M::config)}}.dump()
                  << "\n";
      });
    }
    return;
  }
  const bool found = test::with_oracle_model(std::stoi(arg(0)), [&]<class M>() {
    const auto weights = weights_of(M::config, arg(2));
    const ModelView model{"model-" + arg(0), M::config, weights, nullptr};
    if (arg(1) == "logits") {
      const int B = std::stoi(arg(3)), T = std::stoi(arg(4));
      if (B < 1 || T < 1 || T > M::config.ctx) refuse("there is no such batch");
      std::vector<std::int32_t> ids(static_cast<std::size_t>(B) * static_cast<std::size_t>(T));
      if (!std::cin.read(reinterpret_cast<char*>(ids.data()), static_cast<std::streamsize>(ids.size() * 4)))
        refuse("there are too few ids");
      for (const auto id : ids) {
        if (id < 0 || id >= M::config.vocab) refuse(std::to_string(id) + " is no id");
      }
      const auto logits = logits_of<M>(weights, ids, B, T);
      std::fwrite(logits.data(), sizeof(float), logits.size(), stdout);
    } else if (arg(1) == "onnx") {
      OnnxOptions options;
      if (args.size() > 5) options.weights = stored_type(args[5]);
      if (args.size() > 6) options.most_inside = std::stoll(args[6]);
      write_onnx(arg(3), model, arg(4) == "with" ? OnnxCache::with : OnnxCache::without, options);
    } else if (arg(1) == "llmc") {
      write_llmc(arg(3), model, args.size() > 4 ? stored_type(args[4]) : StoredType::float32);
    } else {
      refuse("'" + arg(1) + "' is no command");
    }
  });
  if (!found) refuse("there is no model " + arg(0));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run({argv + 1, argv + argc});
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "tinygpt-oracle-exchange: " << error.what() << "\n";
    return 1;
  }
}
