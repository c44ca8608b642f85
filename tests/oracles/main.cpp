// tinygpt-oracle: tinygpt's side of the comparisons with other projects' libraries.
//
//   tinygpt-oracle list                                      every model's name and type
//   tinygpt-oracle new MODEL DIR SEED TYPE                   a random model; TYPE: float32, bf16 or float16
//   tinygpt-oracle logits MODEL DIR TOKENS OUT               TOKENS: int32; OUT: float32 (tokens, vocabulary)
//   tinygpt-oracle greedy MODEL DIR TOKENS N                 N ids, one a line
//   tinygpt-oracle train MODEL DIR IDS BATCH STEPS OUT       IDS: tokens, then targets; losses, one a line; OUT:
//   gradients tinygpt-oracle config DIR                                the type that a directory's config.json says
//   tinygpt-oracle copy DIR OUT                              reads a model directory and writes it again, in float32
//   tinygpt-oracle rewrite-tokenizer FILE OUT                reads tokenizer.json and writes it again
//   tinygpt-oracle tokenize FILE STRINGS OUT                 STRINGS: {"strings": [...]}; OUT: {"ids": [[...], ...]}
#include <cmath>

#include "model_numbers.hpp"

using namespace tinygpt;

namespace {

std::vector<std::int32_t> read_ids(const std::filesystem::path& path) {
  const std::string bytes = read_small_file(path);
  std::vector<std::int32_t> ids(bytes.size() / sizeof(std::int32_t));
  std::memcpy(ids.data(), bytes.data(), ids.size() * sizeof(std::int32_t));
  return ids;
}

/// Weights as large as a trained model's, none of them 0 or 1, so that a tensor in the wrong place shows.
std::vector<float> random_weights(const Config& config, unsigned seed) {
  const ParamTable table(config);
  std::vector<float> arena(static_cast<std::size_t>(table.arena_size()));
  std::mt19937 random(seed);
  const auto normal = [&] {
    const double u = (static_cast<double>(random()) + 1) / 4294967297.0,
                 v = static_cast<double>(random()) / 4294967296.0;
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * M_PI * v);
  };
  for (const ParamRow& row : table) {
    const double mean = row.init == Init::ones ? 1 : 0;
    const double sigma = row.cols == 0 ? 0.1 : 0.5 / std::sqrt(static_cast<double>(row.cols));
    for (std::int64_t l = 0; l < row.layers; ++l) {
      for (std::int64_t i = 0; i < row.layer_size(); ++i) {
        arena[static_cast<std::size_t>(row.offset + l * row.stride + i)] = static_cast<float>(mean + sigma * normal());
      }
    }
  }
  return arena;
}

int run(const std::vector<std::string>& a) {
  std::vector<oracle::Entry> entries = oracle::gpt2_models();
  for (const auto& more : {oracle::llama_models(), oracle::qwen3_models()}) {
    entries.insert(entries.end(), more.begin(), more.end());
  }
  const auto is = [&](const char* command, std::size_t count) { return a.size() == count && a[0] == command; };
  if (is("list", 1)) {
    for (const auto& entry : entries) std::printf("%s %s\n", entry.name.c_str(), type_text(entry.config).c_str());
    return 0;
  }
  if (is("config", 2)) {
    std::printf("%s\n", type_text(read_model_config(ModelReader(a[1])).config).c_str());
    return 0;
  }
  if (is("copy", 3)) {
    write_model_directory(a[2], read_model_directory(a[1]).view());
    return 0;
  }
  if (is("rewrite-tokenizer", 3)) {
    write_file_atomically(a[2], tokenizer_json_text(load_tokenizer(a[1])));
    return 0;
  }
  if (is("tokenize", 4)) {
    const Tokenizer tokenizer = load_tokenizer(a[1]);
    Json ids = Json::array();
    const Json strings = read_json(a[2]);
    for (const auto& text : strings["strings"]) ids.push_back(tokenizer.encode(text.get<std::string>()));
    write_file_atomically(a[3], Json{{"ids", ids}}.dump());
    return 0;
  }
  for (const auto& entry : entries) {
    if (a.size() < 2 || a[1] != entry.name) continue;
    if (is("new", 5)) {
      const auto weights = random_weights(entry.config, static_cast<unsigned>(std::stoul(a[3])));
      const Tokenizer tokenizer = Tokenizer::bytes();
      const StoredType type = a[4] == "float32" ? StoredType::float32
                              : a[4] == "bf16"  ? StoredType::bfloat16
                                                : StoredType::float16;
      const bool room = entry.config.vocab >= tokenizer.size();
      write_model_directory(a[2], {entry.name, entry.config, weights, room ? &tokenizer : nullptr}, type);
      return 0;
    }
    if (is("logits", 5)) {
      std::ofstream out(a[4], std::ios::binary);
      entry.logits(a[2], read_ids(a[3]), out);
      return 0;
    }
    if (is("greedy", 5)) return entry.greedy(a[2], read_ids(a[3]), std::stoi(a[4])), 0;
    if (is("train", 7)) return entry.train(a[2], read_ids(a[3]), std::stoi(a[4]), std::stoi(a[5]), a[6]), 0;
  }
  std::fprintf(stderr, "tinygpt-oracle: see the top of tests/oracles/main.cpp for its commands\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tinygpt-oracle: %s\n", error.what());
    return 1;
  }
}
