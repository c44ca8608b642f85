// The graphics cards that people have: how much memory, and how fast at best. Known without a driver, so that a
// question can be asked on any machine.
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

namespace tinygpt {

/// A card as NVIDIA's product pages, datasheets and whitepapers state it.
struct GraphicsCard {
  std::string_view name;
  int capability = 0;        ///< compute capability x 10: 89 is 8.9
  std::array<int, 3> gib{};  ///< memory that it is sold with, the usual one first
  int bandwidth = 0;         ///< of that memory, GB/s
  int cores = 0, mhz = 0;    ///< CUDA cores and boost clock of a GeForce; a laptop's clock is its maker's choice: 0
  double tflops = 0;         ///< dense bf16 products with sums in float, where they are stated; half of a sparse number

  bool has_bf16() const { return capability >= 80; }

  /// Products per second at best, a multiply-add counted as two; 0: not known. A GeForce's core has two a cycle in
  /// float32, and its matrix units twice that in bf16 with sums in float, half of what they do with sums in half
  /// precision. A laptop's card is taken to run at 1 GHz, near the lowest boost clock that NVIDIA states for each.
  double peak_float32() const { return 2e6 * cores * (mhz > 0 ? mhz : 1000); }
  double peak_bf16() const { return !has_bf16() ? 0 : tflops > 0 ? 1e12 * tflops : 2 * peak_float32(); }
};

/// Sources: NVIDIA's datasheets for data centres and workstations, its whitepapers on GA102, Ada and RTX Blackwell for
/// GeForce cards whose rate is stated here, and its pages of specifications for the cores and clocks of the others. The
/// bandwidth of laptops' cards is that of the memory which most of them have.
inline constexpr GraphicsCard graphics_cards[] = {
    {"GB200", 100, {186}, 8000, 0, 0, 2500},
    {"B200", 100, {180}, 8000, 0, 0, 2250},
    {"GH200", 90, {96, 144}, 4000, 0, 0, 989.4},
    {"H200 NVL", 90, {141}, 4800, 0, 0, 835.5},
    {"H200", 90, {141}, 4800, 0, 0, 989.4},
    {"H100 PCIe", 90, {80}, 2000, 0, 0, 756},
    {"H100 NVL", 90, {94}, 3900, 0, 0, 835.5},
    {"H100", 90, {80}, 3350, 0, 0, 989.4},
    {"H800 PCIe", 90, {80}, 2000, 0, 0, 756},
    {"H800", 90, {80}, 3350, 0, 0, 989.4},
    {"A100", 80, {80, 40}, 2039, 0, 0, 312},
    {"A800", 80, {80, 40}, 2039, 0, 0, 312},
    {"A30", 80, {24}, 933, 0, 0, 165},
    {"A40", 86, {48}, 696, 0, 0, 149.7},
    {"A10", 86, {24}, 600, 0, 0, 125},
    {"L40S", 89, {48}, 864, 0, 0, 362},
    {"L40", 89, {48}, 864, 0, 0, 181},
    {"L4", 89, {24}, 300, 0, 0, 121},
    {"T4", 75, {16}, 320, 2560, 1590, 0},
    {"RTX A6000", 86, {48}, 768, 0, 0, 154.8},
    {"RTX 5090", 120, {32}, 1792, 21760, 2407, 209.5},
    {"RTX 5080", 120, {16}, 960, 10752, 2617, 112.6},
    {"RTX 5070 Ti", 120, {16}, 896, 8960, 2452, 0},
    {"RTX 5070", 120, {12}, 672, 6144, 2512, 0},
    {"RTX 5060 Ti", 120, {16, 8}, 448, 4608, 2572, 0},
    {"RTX 5060", 120, {8}, 448, 3840, 2497, 0},
    {"RTX 5050", 120, {8}, 320, 2560, 2572, 0},
    {"RTX 4090 D", 89, {24}, 1008, 14592, 2520, 0},
    {"RTX 4090", 89, {24}, 1008, 16384, 2520, 165.2},
    {"RTX 4080 SUPER", 89, {16}, 736, 10240, 2550, 104.5},
    {"RTX 4080", 89, {16}, 717, 9728, 2505, 97.5},
    {"RTX 4070 Ti SUPER", 89, {16}, 672, 8448, 2610, 0},
    {"RTX 4070 Ti", 89, {12}, 504, 7680, 2610, 0},
    {"RTX 4070 SUPER", 89, {12}, 504, 7168, 2475, 0},
    {"RTX 4070", 89, {12}, 504, 5888, 2475, 0},
    {"RTX 4060 Ti", 89, {8, 16}, 288, 4352, 2535, 0},
    {"RTX 4060", 89, {8}, 272, 3072, 2460, 0},
    {"RTX 3090 Ti", 86, {24}, 1008, 10752, 1860, 80},
    {"RTX 3090", 86, {24}, 936, 10496, 1695, 71.2},
    {"RTX 3080 Ti", 86, {12}, 912, 10240, 1665, 68.2},
    {"RTX 3080", 86, {10, 12}, 760, 8704, 1710, 59.5},
    {"RTX 3070 Ti", 86, {8}, 608, 6144, 1770, 0},
    {"RTX 3070", 86, {8}, 448, 5888, 1725, 0},
    {"RTX 3060 Ti", 86, {8}, 448, 4864, 1665, 0},
    {"RTX 3060", 86, {12, 8}, 360, 3584, 1777, 0},
    {"RTX 3050", 86, {8, 6}, 224, 2560, 1777, 0},
    {"TITAN RTX", 75, {24}, 672, 4608, 1770, 0},
    {"RTX 2080 Ti", 75, {11}, 616, 4352, 1545, 0},
    {"RTX 2080 SUPER", 75, {8}, 496, 3072, 1815, 0},
    {"RTX 2080", 75, {8}, 448, 2944, 1710, 0},
    {"RTX 2070 SUPER", 75, {8}, 448, 2560, 1770, 0},
    {"RTX 2070", 75, {8}, 448, 2304, 1620, 0},
    {"RTX 2060 SUPER", 75, {8}, 448, 2176, 1650, 0},
    {"RTX 2060", 75, {6, 12}, 336, 1920, 1680, 0},
    {"RTX 5090 Laptop", 120, {24}, 896, 10496, 0, 0},
    {"RTX 5080 Laptop", 120, {16}, 896, 7680, 0, 0},
    {"RTX 5070 Ti Laptop", 120, {12}, 672, 5888, 0, 0},
    {"RTX 5070 Laptop", 120, {8}, 384, 4608, 0, 0},
    {"RTX 5060 Laptop", 120, {8}, 384, 3328, 0, 0},
    {"RTX 5050 Laptop", 120, {8}, 384, 2560, 0, 0},
    {"RTX 4090 Laptop", 89, {16}, 576, 9728, 0, 0},
    {"RTX 4080 Laptop", 89, {12}, 432, 7424, 0, 0},
    {"RTX 4070 Laptop", 89, {8}, 256, 4608, 0, 0},
    {"RTX 4060 Laptop", 89, {8}, 256, 3072, 0, 0},
    {"RTX 4050 Laptop", 89, {6}, 192, 2560, 0, 0},
    {"RTX 3080 Ti Laptop", 86, {16}, 512, 7424, 0, 0},
    {"RTX 3080 Laptop", 86, {8, 16}, 448, 6144, 0, 0},
    {"RTX 3070 Ti Laptop", 86, {8}, 448, 5888, 0, 0},
    {"RTX 3070 Laptop", 86, {8}, 448, 5120, 0, 0},
    {"RTX 3060 Laptop", 86, {6}, 336, 3840, 0, 0},
    {"RTX 3050 Ti Laptop", 86, {4}, 192, 2560, 0, 0},
    {"RTX 3050 Laptop", 86, {4, 6}, 192, 2048, 0, 0},
};

/// What a name says: "NVIDIA GeForce RTX 4070 Ti 12GB" is 4070 and ti, with 12 GiB.
struct CardName {
  std::vector<std::string> words;  ///< those that tell cards apart, in lower case
  int gib = 0;                     ///< 0: it does not say

  bool has(const std::string& word) const { return std::find(words.begin(), words.end(), word) != words.end(); }
};

/// Reads a name as drivers, shops and people write it: "NVIDIA H100 80GB HBM3", "rtx4070ti", "RTX 3070 Max-Q, 8 GB".
inline CardName card_name(std::string_view text) {
  constexpr std::string_view common[] = {"nvidia",   "geforce", "rtx",   "tesla", "gpu",   "graphics", "card",
                                         "founders", "edition", "q",     "sxm",   "oc",    "gb",       "gib",
                                         "g",        "hbm2",    "hbm2e", "hbm3",  "hbm3e", "sxm4",     "sxm5"};
  CardName name;
  const auto digits = [](std::string_view s) {
    return s.substr(0, std::min(s.find_first_not_of("0123456789"), s.size())).size();
  };
  int number = 0;  // the word before, where it was a small number: "12 GB"
  const auto add = [&](std::string word) {
    if (word == "max" || word == "maxq" || word == "mobile" || word == "notebook") word = "laptop";
    const std::size_t n = digits(word);
    const std::string unit = word.substr(n);
    const int value = n > 0 && n < 4 ? std::stoi(word.substr(0, n)) : 0;
    if (unit == "gb" || unit == "gib" || unit == "g") name.gib = value > 0 ? value : number;
    const bool size = value > 0 && (unit.empty() || unit == "gb" || unit == "gib" || unit == "g");
    number = unit.empty() ? value : 0;
    if (size || std::find(std::begin(common), std::end(common), word) != std::end(common) || name.has(word)) return;
    name.words.push_back(word);
  };
  for (std::size_t at = 0; at < text.size();) {
    std::string word;
    for (; at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])); ++at) {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(text[at])));
    }
    ++at;
    if (word.starts_with("rtx") && digits(std::string_view(word).substr(3)) == 4) word.erase(0, 3);
    // A model's number has four digits; what is written on to it is a word of its own.
    const std::size_t n = digits(word) == 4 ? 4 : 0;
    if (n > 0) add(word.substr(0, n));
    if (word = word.substr(n); word == "tisuper") {
      add("ti"), add("super");
    } else if (!word.empty()) {
      add(word);
    }
  }
  return name;
}

/// The card of that name, or null: every word that it has beside must be one that tells no cards apart.
inline const GraphicsCard* find_card(const CardName& name) {
  const GraphicsCard* best = nullptr;
  std::size_t most = 0;
  for (const GraphicsCard& card : graphics_cards) {
    const std::vector<std::string> words = card_name(card.name).words;
    const bool all = std::all_of(words.begin(), words.end(), [&](const auto& word) { return name.has(word); });
    const std::size_t others = name.words.size() - words.size();
    if (!all || others > 1 ||
        (others == 1 && !(name.has("pcie") && std::find(words.begin(), words.end(), "pcie") == words.end())))
      continue;
    if (words.size() > most) best = &card, most = words.size();
  }
  return best;
}

}  // namespace tinygpt
