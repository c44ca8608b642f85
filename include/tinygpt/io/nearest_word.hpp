// What did a person mean? The known words nearest to one that is not known.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tinygpt {

/// Steps of inserting, deleting or changing one character. Source: Wagner and Fischer 1974.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, changed}));
    }
  }
  return row[b.size()];
}

/// At most `most` of the choices, nearest first; none where nothing is near.
inline std::vector<std::string> nearest_words(std::string_view word, const std::vector<std::string>& choices,
                                              std::size_t most = 1) {
  std::vector<std::pair<std::size_t, std::string>> near;
  word = word.substr(0, 64);  // longer ones are no misspelling, and the distance costs their product
  for (const std::string& choice : choices) {
    // What is cut short is nearer than any misspelling: --max for --max-iters.
    const std::size_t distance = word.size() > 3 && choice.starts_with(word) ? 1 : edit_distance(word, choice);
    if (distance <= std::max<std::size_t>(word.size() / 2, 2)) near.emplace_back(distance, choice);
  }
  std::stable_sort(near.begin(), near.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> words;
  for (const auto& [distance, choice] : near) {
    if (words.size() < most) words.push_back(choice);
  }
  return words;
}

}  // namespace tinygpt
