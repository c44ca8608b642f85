// Each preset survives the way through text: type -> JSON -> configuration, and its type is written as one would write
// it.
#include <set>
#include <string>

#include <catch.hpp>
#include <tinygpt/io/config_json.hpp>
#include <tinygpt/presets/all.hpp>

using namespace tinygpt;

TEST_CASE("the architecture of every preset comes back from its JSON") {
  for (const Preset& preset : presets::registry) {
    INFO(preset.name);
    const Json json = Json::parse(config_to_json(preset.config).dump());
    CHECK(config_from_json(json, "config.json") == preset.config);
  }
}

TEST_CASE("presets with the same text of a type are the same type, and no others") {
  for (const Preset& a : presets::registry) {
    for (const Preset& b : presets::registry) {
      INFO(a.name << " " << b.name);
      CHECK((type_text(a.config) == type_text(b.config)) == (a.config == b.config));
    }
  }
}

TEST_CASE("every preset says where it comes from, and its name begins a program's") {
  std::set<std::string_view> families;
  for (const Preset& preset : presets::registry) {
    INFO(preset.name);
    CHECK(!preset.source.empty());
    CHECK(preset.type.starts_with("tinygpt::presets::"));
    CHECK(preset.name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
          std::string_view::npos);
    families.insert(preset.family);
  }
  CHECK(families == std::set<std::string_view>{"classic", "gpt2", "factory", "modern", "consumer"});
}
