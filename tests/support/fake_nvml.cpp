// A library that looks like NVML and has two cards, so that what asks NVML is tested on machines without one. The
// variable FAKE_NVML makes it misbehave. Compiled with FAKE_NVML_OLD it has only the functions that every driver has.
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

// Numbers of NVML's nvmlReturn_t.
constexpr int success = 0, invalid_argument = 2, not_supported = 3, driver_not_loaded = 9, gpu_is_lost = 15;

bool is(std::string_view behaviour) {
  const char* const set = std::getenv("FAKE_NVML");
  return set != nullptr && set == behaviour;
}

struct Card {
  const char* name;
  int major, minor;
  unsigned long long total, used;
  unsigned busy, degrees, milliwatts;
} cards[] = {{"NVIDIA GeForce RTX 3060", 8, 6, 12ULL << 30, 1ULL << 30, 7, 41, 15250},
             {"NVIDIA GeForce RTX 4090", 8, 9, 24ULL << 30, 3ULL << 30, 98, 66, 431000}};

int opened = 0;

}  // namespace

extern "C" {

int fake_nvml_opened() { return opened; }

int nvmlInit_v2() {
  if (is("init_fails")) return driver_not_loaded;
  ++opened;
  return success;
}
int nvmlShutdown() { return --opened, success; }

int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = is("no_cards") ? 0 : is("absurd") ? 4'000'000'000 : 2;
  return is("count_fails") ? gpu_is_lost : success;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Card** device) {
  if (index >= 2 || opened == 0) return invalid_argument;
  if (is("first_card_lost") && index == 0) return gpu_is_lost;
  *device = &cards[index];
  return success;
}

#if !defined(FAKE_NVML_OLD)
int nvmlDeviceGetName(Card* device, char* name, unsigned length) {
  if (is("calls_fail")) return gpu_is_lost;
  if (is("absurd")) return std::memset(name, '\x1b', length), success;  // without its end
  return std::strlen(device->name) < length ? std::strcpy(name, device->name), success : invalid_argument;
}

int nvmlDeviceGetCudaComputeCapability(Card* device, int* major, int* minor) {
  *major = device->major, *minor = device->minor;
  return is("calls_fail") ? gpu_is_lost : success;
}

int nvmlDeviceGetMemoryInfo(Card* device, unsigned long long bytes[3]) {  // total, free, used
  bytes[0] = is("absurd") ? ~0ULL : device->total;
  bytes[1] = device->total - device->used;
  bytes[2] = is("more_used_than_there") ? device->total + 1 : device->used;
  return is("calls_fail") ? gpu_is_lost : is("no_memory") ? not_supported : success;
}

int nvmlDeviceGetUtilizationRates(Card* device, unsigned percent[2]) {
  percent[0] = device->busy, percent[1] = 1;
  return is("calls_fail") ? gpu_is_lost : success;
}

int nvmlDeviceGetTemperature(Card* device, int sensor, unsigned* degrees) {
  *degrees = device->degrees;
  return sensor != 0 ? invalid_argument : is("calls_fail") ? gpu_is_lost : success;
}

int nvmlDeviceGetPowerUsage(Card* device, unsigned* milliwatts) {
  *milliwatts = device->milliwatts;
  return is("calls_fail") ? gpu_is_lost : success;
}
#endif

}  // extern "C"
