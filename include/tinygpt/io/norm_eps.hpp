// The epsilon of norms in files and on the command line.
#pragma once

#include <charconv>
#include <optional>
#include <string>

#include <tinygpt/config/kinds.hpp>

namespace tinygpt {

/// Half a sentence for what no norm can have.
inline constexpr const char* norm_eps_range = "must be a number from 1e-12 to 0.1";

/// As architectures have it; nothing where no norm can have it.
inline std::optional<double> norm_eps_of_file(double said) {
  return norm_eps_fits(said) ? std::optional(plain_norm_eps(said)) : std::nullopt;
}

/// The shortest text that is this number: "1e-5".
inline std::string shortest_text(double x) {
  char text[32];
  std::string shortest(text, std::to_chars(text, text + sizeof text, x).ptr);
  const std::size_t exponent = shortest.find('e');
  if (exponent != std::string::npos && shortest[exponent + 2] == '0') shortest.erase(exponent + 2, 1);
  return shortest;
}

}  // namespace tinygpt
