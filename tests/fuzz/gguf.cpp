// Any bytes as a GGUF file: refused by a sentence, or tensors that all lie in the file, and perhaps a model.
#include <sys/mman.h>

#include <cstdlib>
#include <string>
#include <vector>

#include <tinygpt/exchange/gguf_import.hpp>

using namespace tinygpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int fd = ::memfd_create("gguf", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  if (size == 0) return 0;
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(size)) != 0) std::abort();
  if (::pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  try {
    const GgufReader file(path);
    std::int64_t end = 0, texts = 0;
    for (const gguf::Tensor& tensor : file.tensors()) {
      if (tensor.offset < end || tensor.bytes < 1 || tensor.bytes > file.size() - tensor.offset) std::abort();
      end = tensor.offset + tensor.bytes;
      if (file.tensor(tensor.name) != &tensor) std::abort();
      std::vector<std::byte> bytes(static_cast<std::size_t>(tensor.bytes));
      file.read(tensor.offset, bytes);
      if (std::memcmp(bytes.data(), data + tensor.offset, bytes.size()) != 0) std::abort();
    }
    if (const gguf::Value* const tokens = file.find("tokenizer.ggml.tokens")) {
      for (std::size_t i = 0; i < tokens->ends.size(); ++i) texts += static_cast<std::int64_t>(tokens->text(i).size());
      if (texts > file.size()) std::abort();
    }
    const LoadedModel model = model_of(file);
    if (model.weights.size() != static_cast<std::size_t>(ParamTable(model.config).arena_size())) std::abort();
    if (gguf_fit(model.config).architecture == nullptr) std::abort();
    if (!model.tokenizer) return 0;
    if (model.tokenizer->size() > model.config.vocab) std::abort();
    const std::string text(reinterpret_cast<const char*>(data), std::min<std::size_t>(size, 64));
    if (model.tokenizer->vocabulary().has_all_bytes() &&
        model.tokenizer->decode(model.tokenizer->encode(text)) != text) {
      std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
