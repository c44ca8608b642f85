// tinygpt-oracle-gguf DIR: random small models as GGUF files of every type, and what they go on with here.
//
// DIR/NAME.TYPE.gguf for each, and DIR/NAME.json: {"architecture", "type", "vocab", "prompts": [{"text", "ids",
// "greedy", "margin"}]}. `greedy` never has the token that ends a text; `margin` is the least difference of the two
// largest logits on the way.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include <tinygpt/cpu/cpu.hpp>
#include <tinygpt/exchange/gguf.hpp>
#include <tinygpt/generate/generator.hpp>
#include <tinygpt/io/atomic_directory.hpp>
#include <tinygpt/io/config_json.hpp>
#include <tinygpt/ops/random.hpp>

using namespace tinygpt;

namespace {

constexpr int new_tokens = 32;

template <class... Options> using Gpt2 = GPT<Layers<2>, Ctx<96>, Activation<gelu_tanh>, Options...>;
template <class... Options> using Llama = GPT<Layers<2>, Ctx<96>, Activation<swiglu>, Norm<rms>, Options...>;

/// Weights as large as a trained model's, none of them 0 or 1, so that a tensor in the wrong place shows.
std::vector<float> random_weights(const Config& config) {
  const ParamTable table(config);
  std::vector<float> arena(static_cast<std::size_t>(table.arena_size()));
  for (const ParamRow& row : table) {
    const double mean = row.init == Init::ones ? 1 : 0;
    const double deviation = row.cols == 0 ? 0.1 : 1 / std::sqrt(static_cast<double>(row.cols));
    for (std::int64_t l = 0; l < row.layers; ++l) {
      const auto place = static_cast<std::uint64_t>(row.id) << 32 | static_cast<std::uint64_t>(l);
      for (std::int64_t i = 0; i < row.layer_size(); ++i) {
        const auto x = normal_pair(random_bits(5, Purpose::initial_weights, static_cast<std::uint64_t>(i), place))[0];
        arena[static_cast<std::size_t>(row.offset + l * row.stride + i)] = static_cast<float>(mean + deviation * x);
      }
    }
  }
  return arena;
}

/// Words merged from left to right, so that "the" comes of "t", "th", "the".
Tokenizer merged(Pattern pattern) {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  std::vector<Merge> merges;
  for (const std::string word :
       {"the", " the", " and", "ing", " of", "'ll", "er", "12", "123", "\xc3\xa9t\xc3\xa9", "  ", "\n\n"}) {
    std::size_t left = static_cast<unsigned char>(word[0]);
    for (std::size_t end = 2; end <= word.size(); ++end) {
      const auto right = static_cast<std::int32_t>(static_cast<unsigned char>(word[end - 1]));
      const auto found = std::find(tokens.begin() + 256, tokens.end(), word.substr(0, end));
      if (found == tokens.end()) {
        merges.push_back({static_cast<std::int32_t>(left), right, static_cast<std::int32_t>(tokens.size())});
        left = tokens.size();
        tokens.push_back(word.substr(0, end));
      } else {
        left = static_cast<std::size_t>(found - tokens.begin());
      }
    }
  }
  const SpecialToken end{"<|endoftext|>", static_cast<std::int32_t>(tokens.size())};
  tokens.emplace_back();
  return Tokenizer(std::move(tokens), std::move(merges), pattern, {end});
}

template <class M> void write(const std::string& directory, const std::string& name, const Tokenizer& tokenizer) {
  const auto weights = random_weights(M::config);
  const std::pair<GgufType, const char*> types[] = {{GgufType::f32, "f32"},   {GgufType::f16, "f16"},
                                                    {GgufType::bf16, "bf16"}, {GgufType::q8_0, "q8_0"},
                                                    {GgufType::q4_0, "q4_0"}, {GgufType::q4_k, "q4_k"}};
  for (const auto& [type, suffix] : types) {
    write_gguf(directory + "/" + name + "." + suffix + ".gguf", {name, M::config, weights, &tokenizer}, type);
  }
  const std::int32_t end = gguf::tokenizer_keys(tokenizer, M::config.vocab).end;
  cpu::Context ctx(1);
  Arena<float> aligned(M::params.arena_size());
  std::copy(weights.begin(), weights.end(), aligned.data());
  Generator<M, cpu::Context> generator(ctx, std::span<const float>(aligned.data(), weights.size()));
  Json prompts = Json::array();
  for (const std::string text :
       {"In the beginning", "the 12345 others'll sing of\n\n  \xc3\xa9t\xc3\xa9 and ERs?", "~"}) {
    const auto ids = tokenizer.encode(text);
    std::vector<std::int32_t> greedy;
    float margin = std::numeric_limits<float>::max();
    auto logits = generator.decode(ids, 0);
    for (int i = 0; i < new_tokens; ++i) {
      std::int32_t best = -1, second = -1;
      for (std::int32_t id = 0; id < M::config.vocab; ++id) {
        if (id == end) continue;
        const auto at = [&](std::int32_t k) { return logits[static_cast<std::size_t>(k)]; };
        if (best < 0 || at(id) > at(best))
          second = best, best = id;
        else if (second < 0 || at(id) > at(second))
          second = id;
      }
      margin = std::min(margin, logits[static_cast<std::size_t>(best)] - logits[static_cast<std::size_t>(second)]);
      greedy.push_back(best);
      logits = generator.decode(std::span(&best, 1), static_cast<int>(ids.size()) + i);
    }
    prompts.push_back({{"text", text}, {"ids", ids}, {"greedy", greedy}, {"margin", margin}});
  }
  const Json json{{"architecture", gguf_fit(M::config).architecture},
                  {"type", type_text(M::config)},
                  {"vocab", M::config.vocab},
                  {"prompts", prompts}};
  write_file_atomically(directory + "/" + name + ".json", json_text(json));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: tinygpt-oracle-gguf DIR\n"), 2;
  try {
    const std::string d = argv[1];
    const Tokenizer bytes = Tokenizer::bytes(), gpt2 = merged(Pattern::gpt2), gpt4 = merged(Pattern::gpt4);
    write<Gpt2<Embd<64>, Heads<4>, Vocab<256>, Bias<all>>>(d, "gpt2_biases", bytes);
    write<Gpt2<Embd<96>, Heads<3>, Vocab<301>, Ffn<256>, Head<untied>>>(d, "gpt2_untied", gpt2);
    write<Llama<Embd<64>, Heads<4, 2>, HeadDim<24>, Vocab<299>, Positions<rope, 500'000>, Head<untied>>>(
        d, "llama_grouped", gpt4);
    write<Llama<Embd<96>, Heads<3>, Vocab<257>, Positions<rope>, Bias<all>>>(d, "llama_tied_biases", bytes);
    write<GPT<Layers<2>, Ctx<96>, Embd<64>, Heads<4, 2>, Vocab<257>, Activation<swiglu>, Norm<rms, 1e-5>,
              Positions<rope, 500'000>>>(d, "llama_epsilon", bytes);
    write<Llama<Embd<64>, Heads<4, 2>, HeadDim<32>, Vocab<310>, Positions<rope>, QkNorm, Head<untied>>>(
        d, "qwen3_grouped", gpt2);
    write<Llama<Embd<256>, Heads<4>, Vocab<300>, Ffn<256>, Positions<rope, 1'000'000>, QkNorm>>(d, "qwen3_tied", gpt4);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tinygpt-oracle-gguf: %s\n", error.what());
    return 1;
  }
}
