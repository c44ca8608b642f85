// Any bytes as the beginning of a safetensors file, or after a first byte of 'i' as model.safetensors.index.json:
// refused by a sentence, or tensors that lie one after the other within the file, or plain file names.
#include <cstdlib>

#include <tinygpt/io/tensor_files.hpp>

using namespace tinygpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    if (text.starts_with('i')) {
      const Json json = parse_json(text.substr(1), "index.json");
      for (const auto& [tensor, file] : tensor_files::parse_index(json, "index.json")) {
        if (std::filesystem::path(file).filename() != file || file == "." || file == "..") std::abort();
      }
      return 0;
    }
    std::uint64_t length = 0;
    if (text.size() < sizeof length) return 0;
    std::memcpy(&length, text.data(), sizeof length);
    text.remove_prefix(sizeof length);
    if (length > text.size()) return 0;
    const auto bytes = static_cast<std::int64_t>(text.size() - length);
    std::int64_t end = 0;
    for (const TensorEntry& entry : safetensors::parse_header(text.substr(0, length), bytes, "fuzz.safetensors")) {
      if (entry.begin != end || entry.end < entry.begin || entry.end > bytes) std::abort();
      const auto type = safetensors::stored_type(entry.type);
      std::int64_t numbers = 1;
      for (const std::int64_t extent : entry.shape) numbers *= extent;
      if (type && numbers * bytes_of(*type) != entry.end - entry.begin) std::abort();
      end = entry.end;
      if (!type || numbers == 0) continue;
      // What is in the file fits the memory that its header asks for.
      std::vector<float> arena(static_cast<std::size_t>(numbers));
      const MappedTensor tensor{entry.name, entry.shape, {ArenaMatrix{0, 1, numbers}}};
      const auto* const from = reinterpret_cast<const std::byte*>(text.data()) + length + entry.begin;
      copy_tensor(tensor, arena, nullptr, *type, from, [](auto, const auto& copy) { copy(); });
    }
    if (end != bytes) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
