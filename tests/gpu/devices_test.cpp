// Which GPUs there are, and what is said of those that cannot be used.
#include <on_device.hpp>

#include <catch.hpp>
#include <tinygpt/gpu/context.cuh>
#include <tinygpt/gpu/devices.cuh>

using namespace tinygpt;
using Catch::Matchers::StartsWith;

TEST_CASE("The first GPU can be used, and says what it is", "[gpu]") {
  const gpu::Device device = gpu::find_device(0);
  CHECK(device.why_not == "");
  CHECK(device.number == 0);
  CHECK_FALSE(device.name.empty());
  CHECK(device.free > 0);
  CHECK(device.free <= device.total);
  CHECK(device.bf16 == (device.major >= 8));
  const std::vector<gpu::Device> all = gpu::find_devices();
  REQUIRE_FALSE(all.empty());
  CHECK(all[0].name == device.name);
}

TEST_CASE("A GPU that is not there is one sentence", "[gpu]") {
  for (int number : {-1, 4096}) {
    CHECK_THAT(gpu::find_device(number).why_not, StartsWith("there is no GPU number " + std::to_string(number)));
    CHECK_THROWS_WITH(gpu::Context<float>(number), StartsWith("CUDA failed in cudaSetDevice"));
  }
}

TEST_CASE("A GPU is enough for float from 7.5 on, for bf16 from 8.0 on", "[gpu]") {
  CHECK_FALSE(gpu::capable<float>(7, 0));
  CHECK(gpu::capable<float>(7, 5));
  CHECK_FALSE(gpu::capable<bfloat16>(7, 5));
  CHECK(gpu::capable<bfloat16>(8, 0));
  CHECK(gpu::capable<bfloat16>(12, 0));
}

TEST_CASE("A card's peak goes by the words of its name, the nearest name first", "[gpu]") {
  CHECK(gpu::peak_flops("NVIDIA H100 80GB HBM3") == Approx(989.4e12));
  CHECK(gpu::peak_flops("NVIDIA H100 PCIe") == Approx(756e12));
  CHECK(gpu::peak_flops("NVIDIA H200 NVL") == Approx(835.5e12));
  CHECK(gpu::peak_flops("NVIDIA GH200 480GB") == Approx(989.4e12));
  CHECK(gpu::peak_flops("NVIDIA A100-SXM4-40GB") == Approx(312e12));
  CHECK(gpu::peak_flops("NVIDIA L4") == Approx(121e12));
  CHECK(gpu::peak_flops("NVIDIA L40S") == Approx(362e12));
  CHECK(gpu::peak_flops("NVIDIA GeForce RTX 4090") == Approx(165.2e12));
  CHECK(gpu::peak_flops("NVIDIA GeForce RTX 4080 SUPER") == Approx(104.5e12));
  CHECK(gpu::peak_flops("NVIDIA GeForce RTX 3090 Ti") == Approx(80e12));
}

TEST_CASE("Of a card that is not in the table, or may be several, no peak is claimed", "[gpu]") {
  CHECK(gpu::peak_flops("NVIDIA GeForce RTX 4090 Laptop GPU") == 0);
  CHECK(gpu::peak_flops("NVIDIA GeForce RTX 5090 D") == 0);
  CHECK(gpu::peak_flops("Tesla T4") == 0);
  CHECK(gpu::peak_flops("NVIDIA A10G") == 0);
  CHECK(gpu::peak_flops("an emulated GPU") == 0);
}
