// A checkpoint: a model directory with optimizer.safetensors, whose tensors have our own names and stacked layers, and
// trainer_state.json beside it. manifest.json holds every file's length and checksum.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <tinygpt/io/finite.hpp>
#include <tinygpt/io/model_directory.hpp>
#include <tinygpt/io/run_directory.hpp>
#include <tinygpt/io/trainer_state.hpp>
#include <tinygpt/model/param_table.hpp>

namespace tinygpt {

namespace checkpoint {

/// Both moments of an optimizer, named first_moment.* and second_moment.*.
template <class E> std::vector<ArenaTensor<E>> moments(const Config& config, std::span<E> first, std::span<E> second) {
  const ParamTable table(config);
  auto all = in_arena(stacked_tensors(table, "first_moment."), first);
  for (auto& tensor : in_arena(stacked_tensors(table, "second_moment."), second)) all.push_back(std::move(tensor));
  return all;
}

}  // namespace checkpoint

/// Everything that one checkpoint consists of. The spans are arenas laid out by the architecture's parameter table.
struct CheckpointView {
  std::span<const float> weights, first_moments, second_moments;
  const ForeignMemory* memory = nullptr;  ///< where they lie; null for the host's
};

/// The name of the first tensor of the weights or moments that is not finite; empty where all are.
inline std::string first_not_finite(const Config& config, const CheckpointView& arenas) {
  for (const auto& [prefix, arena] : {std::pair("", arenas.weights), std::pair("first_moment.", arenas.first_moments),
                                      std::pair("second_moment.", arenas.second_moments)}) {
    const std::string tensor = first_not_finite(config, arena, arenas.memory);
    if (!tensor.empty()) return prefix + tensor;
  }
  return "";
}

/// Throws Error where the disk clearly lacks the room for a checkpoint at `directory`.
inline void expect_room_for_checkpoint(const std::filesystem::path& directory, const Config& config) {
  std::int64_t numbers = 2 * ParamTable(config).param_count();
  for (const MappedTensor& tensor : model_tensors(config, layout_of(config))) numbers += tensor.size();
  const std::int64_t bytes = numbers * static_cast<std::int64_t>(sizeof(float)) + (std::int64_t{1} << 16);
  const std::int64_t free = free_bytes(directory.has_parent_path() ? directory.parent_path() : ".");
  if (free >= 0 && free < bytes + bytes / 10) {
    throw Error("cannot write " + directory.string() + ": the disk is full: " + size_text(bytes + bytes / 10) +
                    " are needed and " + size_text(free) + " are free: free some space or write to another disk",
                ENOSPC);
  }
}

/// Writes a checkpoint atomically; throws before touching anything where the disk clearly lacks the room.
inline void save_checkpoint(const std::filesystem::path& directory, std::string_view name, const Config& config,
                            const Tokenizer& tokenizer, const CheckpointView& arenas, const TrainerState& state,
                            const Companions& companions = {}) {
  expect_room_for_checkpoint(directory, config);
  ModelWriter writer(directory);
  model_directory::write_texts(writer, {std::string(name), config, arenas.weights, &tokenizer, &companions},
                               StoredType::float32);
  writer.tensors("model.safetensors", in_arena(model_tensors(config, layout_of(config)), arenas.weights),
                 StoredType::float32, arenas.memory);
  writer.tensors("optimizer.safetensors", checkpoint::moments(config, arenas.first_moments, arenas.second_moments),
                 StoredType::float32, arenas.memory);
  writer.text("trainer_state.json", json_text(trainer_state_to_json(state)));
  writer.commit();
}

/// The tokenizer of a model of this architecture; one without is refused.
inline Tokenizer load_tokenizer_of(const ModelReader& reader, const Config& config) {
  auto tokenizer = model_directory::tokenizer_of(reader, expect_architecture(reader, config));
  if (tokenizer) return *std::move(tokenizer);
  throw Error(reader.directory().string() +
              " has no tokenizer, without which a model reads and writes no text: put the tokenizer.json there that it "
              "was trained with");
}

/// Fills `weights` from a model directory of this architecture. Throws DamagedFile where they are not finite.
inline void load_weights(const ModelReader& reader, const Config& config, std::span<float> weights,
                         const ForeignMemory* memory = nullptr) {
  const ModelConfig said = expect_architecture(reader, config);
  TensorFiles files(reader);
  files.expect(said.config, said.layout);
  files.load(weights, memory);
  expect_finite(reader.directory(), config, weights, memory);
}

/// The same, with the tokenizer, which must be there.
inline Tokenizer load_model(const std::filesystem::path& directory, const Config& config, std::span<float> weights,
                            const ForeignMemory* memory = nullptr) {
  const ModelReader reader(directory);
  auto tokenizer = load_tokenizer_of(reader, config);
  load_weights(reader, config, weights, memory);
  return tokenizer;
}

/// The state of a checkpoint of this architecture, without its tensors.
inline TrainerState load_trainer_state(const std::filesystem::path& directory, const Config& config) {
  const ModelReader reader(directory);
  expect_architecture(reader, config);
  return trainer_state_from_json(reader.json("trainer_state.json"), reader.path("trainer_state.json"));
}

/// The checkpoint with the best validation loss of the run in `run`, as its newest readable checkpoint says.
inline std::filesystem::path best_checkpoint(const std::filesystem::path& run) {
  const RunDirectory directory(run);
  for (const std::int64_t step : directory.steps()) {
    try {
      const ModelReader reader(directory.step_path(step));
      const auto state = trainer_state_from_json(reader.json("trainer_state.json"), reader.path("trainer_state.json"));
      if (!state.best_step) {
        throw Error(run.string() + " does not say which checkpoint is the best: leave --best out");
      }
      const auto best = directory.step_path(*state.best_step);
      std::error_code error;
      if (std::filesystem::is_directory(best, error)) return best;
      throw Error("the best checkpoint, " + best.string() + ", is no longer there: leave --best out");
    } catch (const DamagedFile&) {  // an older one says it too
    }
  }
  throw Error(run.string() + " holds no checkpoint of a run: leave --best out, or give what was --out in train");
}

/// Fills an optimizer's moments from a checkpoint. Throws DamagedFile where they are not finite.
inline void load_moments(const std::filesystem::path& directory, const Config& config, std::span<float> first_moments,
                         std::span<float> second_moments, const ForeignMemory* memory = nullptr) {
  ModelReader(directory).tensors("optimizer.safetensors", checkpoint::moments(config, first_moments, second_moments),
                                 memory);
  expect_finite(directory, config, first_moments, memory);
  expect_finite(directory, config, second_moments, memory);
}

}  // namespace tinygpt
