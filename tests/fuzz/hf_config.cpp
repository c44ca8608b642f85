// Any bytes as config.json: refused by a sentence, or an architecture whose every size can be counted, that comes back
// from the config.json that is written for it.
#include <cstdlib>

#include <tinygpt/io/model_config.hpp>

using namespace tinygpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const ModelConfig said = model_config_from_json(parse_json(text, "config.json"), "config.json");
    const ParamTable table(said.config);
    if (table.param_count() < 1 || table.arena_size() < table.param_count()) std::abort();
    const auto json = Json::parse(model_config_json(said.config, "name", StoredType::float32, nullptr).dump());
    if (model_config_from_json(json, "config.json").config != said.config) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
