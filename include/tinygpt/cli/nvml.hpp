// What NVIDIA's management library knows of the machine's graphics cards, asked while the program runs: a program that
// is built without CUDA runs with a card and without one.
#pragma once

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace tinygpt::cli {

/// Bytes of a card's memory. What the driver keeps for itself counts as used.
struct CardMemory {
  std::int64_t total = 0, used = 0, free = 0;
};

/// A graphics card. What the driver does not say is empty.
struct Card {
  int index = 0;  ///< NVML's
  std::string name;
  std::optional<int> compute_capability;  ///< 10 x major + minor: 90 is sm_90
  std::optional<CardMemory> memory;
};

/// What a card does at the moment. What the driver does not say is empty.
struct CardSample {
  std::optional<int> utilisation;           ///< percent of the last period in which a kernel ran
  std::optional<std::int64_t> memory_used;  ///< bytes
  std::optional<int> temperature;           ///< degrees Celsius
  std::optional<double> power;              ///< watts
};

/// NVML, as long as it lives. No library, no driver, no card, or a call that fails: each means "not known" and none is
/// an error, because a program that only asks must not fail where there is no answer.
///
/// Cards are in the order of the PCI bus, which is CUDA's only with CUDA_DEVICE_ORDER=PCI_BUS_ID (otherwise CUDA takes
/// the fastest first). CUDA_VISIBLE_DEVICES is CUDA's and hides nothing here: the cards are those of the machine, or of
/// the container.
///
/// Source: NVML API Reference (docs.nvidia.com/deploy/nvml-api). The functions and structs are declared here, by the
/// binary interface that it documents, so that nothing of CUDA is needed to compile.
class Nvml {
 public:
  /// The driver's library, or the one that TINYGPT_NVML names: a path, or nothing to ask none.
  static std::string library_name() {
    const char* const name = std::getenv("TINYGPT_NVML");
    return name != nullptr ? name : "libnvidia-ml.so.1";
  }

  explicit Nvml(const std::string& library = library_name()) {
    // It stays loaded: what a driver's library leaves behind (threads, their variables) must not lose its code.
    void* const handle = library.empty() ? nullptr : ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return;
    const auto find = [handle](auto*& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(handle, name));
    };
    Begin* init = nullptr;
    find(init, "nvmlInit_v2");
    find(shutdown_, "nvmlShutdown");
    find(count_, "nvmlDeviceGetCount_v2");
    find(device_, "nvmlDeviceGetHandleByIndex_v2");
    find(name_, "nvmlDeviceGetName");
    find(compute_capability_, "nvmlDeviceGetCudaComputeCapability");
    find(memory_, "nvmlDeviceGetMemoryInfo");
    find(utilisation_, "nvmlDeviceGetUtilizationRates");
    find(temperature_, "nvmlDeviceGetTemperature");
    find(power_, "nvmlDeviceGetPowerUsage");
    open_ = succeeds(init);
  }
  ~Nvml() {
    if (open_) static_cast<void>(succeeds(shutdown_));
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  std::vector<Card> cards() const {
    std::vector<Card> cards;
    unsigned count = 0;
    if (!open_ || !succeeds(count_, &count)) return cards;
    for (int index = 0; index < static_cast<int>(std::min(count, most_cards)); ++index) {
      const std::optional<Device> device = device_at(index);
      if (!device) continue;
      Card card{
          .index = index, .name = "a card without a name", .compute_capability = {}, .memory = memory_of(*device)};
      char name[name_size + 1] = {};
      if (succeeds(name_, *device, name, name_size) && name[0] != '\0') card.name = name;
      int high = 0, low = 0;
      if (succeeds(compute_capability_, *device, &high, &low)) card.compute_capability = 10 * high + low;
      cards.push_back(card);
    }
    return cards;
  }

  CardSample sample(const Card& card) const {
    CardSample sample;
    const std::optional<Device> device = device_at(card.index);
    if (!device) return sample;
    Utilisation utilisation{};
    unsigned degrees = 0, milliwatts = 0;
    if (const auto memory = memory_of(*device)) sample.memory_used = memory->used;
    if (succeeds(utilisation_, *device, &utilisation)) sample.utilisation = static_cast<int>(utilisation.gpu);
    if (succeeds(temperature_, *device, of_the_gpu, &degrees)) sample.temperature = static_cast<int>(degrees);
    if (succeeds(power_, *device, &milliwatts)) sample.power = milliwatts / 1000.0;
    return sample;
  }

 private:
  static constexpr int success = 0;          // NVML_SUCCESS
  static constexpr unsigned name_size = 96;  // NVML_DEVICE_NAME_V2_BUFFER_SIZE
  static constexpr unsigned most_cards = 1024;
  static constexpr int of_the_gpu = 0;  // NVML_TEMPERATURE_GPU, of an enum

  using Device = void*;  // nvmlDevice_t
  struct Bytes {
    unsigned long long total = 0, free = 0, used = 0;
  };  // nvmlMemory_t
  struct Utilisation {
    unsigned gpu = 0, memory = 0;
  };  // nvmlUtilization_t

  using Begin = int();
  using Count = int(unsigned*);
  using DeviceByIndex = int(unsigned, Device*);
  using Name = int(Device, char*, unsigned);
  using TwoNumbers = int(Device, int*, int*);
  using MemoryInfo = int(Device, Bytes*);
  using Rates = int(Device, Utilisation*);
  using Sensor = int(Device, int, unsigned*);
  using Reading = int(Device, unsigned*);

  /// A function that an old driver lacks fails like any other.
  template <class F, class... Arguments> static bool succeeds(F* function, Arguments... arguments) {
    return function != nullptr && function(arguments...) == success;
  }

  std::optional<Device> device_at(int index) const {
    Device device = nullptr;
    if (!open_ || !succeeds(device_, static_cast<unsigned>(index), &device)) return std::nullopt;
    return device;
  }

  /// Nothing, too, where the numbers cannot be.
  std::optional<CardMemory> memory_of(Device device) const {
    Bytes bytes;
    if (!succeeds(memory_, device, &bytes) || bytes.total == 0 || bytes.total > (1ULL << 62) ||
        bytes.used > bytes.total || bytes.free > bytes.total) {
      return std::nullopt;
    }
    return CardMemory{.total = static_cast<std::int64_t>(bytes.total),
                      .used = static_cast<std::int64_t>(bytes.used),
                      .free = static_cast<std::int64_t>(bytes.free)};
  }

  bool open_ = false;
  Begin* shutdown_ = nullptr;
  Count* count_ = nullptr;
  DeviceByIndex* device_ = nullptr;
  Name* name_ = nullptr;
  TwoNumbers* compute_capability_ = nullptr;
  MemoryInfo* memory_ = nullptr;
  Rates* utilisation_ = nullptr;
  Sensor* temperature_ = nullptr;
  Reading* power_ = nullptr;
};

}  // namespace tinygpt::cli
