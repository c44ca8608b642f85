// tinygpt params: the exact count of a preset, of a JSON config, or of sizes on the command line, part by part.
#pragma once

#include <tinygpt/cli/tool/architecture_flags.hpp>
#include <tinygpt/cli/tool/breakdown.hpp>
#include <tinygpt/cli/tool/validate.hpp>

namespace tinygpt::cli::tool {

struct ParamsFlags {
  static constexpr const char *command = "params", *about = "Count the parameters of a model, part by part";
  std::string preset, config;
  bool interactive = false, show_formula = false, json = false;
  ArchitectureFlags architecture;
};

inline void add_flags(CLI::App& app, ParamsFlags& flags) {
  add_text(app, "--preset", "Count this preset", "NAME", flags.preset);
  add_path(app, "--config", "Count the model of this JSON config", "FILE", flags.config);
  app.add_flag("--interactive", flags.interactive, "Ask for the sizes");
  app.add_flag("--show-formula", flags.show_formula, "Say what each part is made of");
  app.add_flag("--json", flags.json, "Print JSON");
  group(app, "Sizes");
  add_flags(app, flags.architecture);
}

inline Config chosen_architecture(const ParamsFlags& flags) {
  const int sources = !flags.preset.empty() + !flags.config.empty() + flags.interactive + flags.architecture.given;
  if (sources > 1) {
    throw UsageError("give one of --preset, --config, --interactive and flags of sizes: they contradict each other");
  }
  if (!flags.preset.empty()) return preset_named(flags.preset).config;
  if (!flags.config.empty()) return valid_model_file(flags.config).config;
  if (flags.interactive) return ask_for_architecture();
  if (flags.architecture.given) return flags.architecture.checked();
  if (flags.show_formula) return preset_named("small").config;
  throw UsageError(
      "params needs --preset NAME, --config FILE, --interactive or --n-layer N --n-embd N --n-head N: see --help");
}

inline Exit run(const ParamsFlags& flags) {
  const Config c = chosen_architecture(flags);
  const ParamTable table(c);
  const Breakdown parts = breakdown(table);
  const auto formula = formulas(c);
  const std::int64_t total = table.param_count();
  if (flags.json) {
    Report report{{"type", type_text(c)}, {"parameters", total}};
    for (std::size_t i = 0; i < parts.size(); ++i) report["parts"][part_names[i]] = parts[i];
    if (flags.show_formula) {
      for (std::size_t i = 0; i < parts.size(); ++i) report["formulas"][part_names[i]] = formula[i];
    }
    report["architecture"] = config_to_json(c);
    return print(report);
  }
  std::vector<std::vector<std::string>> rows{{"part", "parameters", "share"}};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    rows.push_back({part_names[i], grouped(parts[i]),
                    format("%.1f %%", 100 * static_cast<double>(parts[i]) / static_cast<double>(total))});
    if (flags.show_formula) rows.back().push_back(formula[i]);
  }
  rows.push_back({"all", grouped(total), "100.0 %"});
  if (flags.show_formula) rows.front().push_back("made of");
  std::printf("%s\n\n%s", type_text(c).c_str(), table_text(rows, "lrrl", Header::yes).c_str());
  if (c.head == tied) {
    const std::string more = grouped(std::int64_t{c.vocab} * c.embd);
    std::fputs(fitted("\nThe head is tied: Head<untied> would add " + more + ".\n").c_str(), stdout);
  }
  return Exit::done;
}

}  // namespace tinygpt::cli::tool
