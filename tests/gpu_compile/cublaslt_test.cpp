// How cuBLASLt is found when the program runs, and what is said where it is not; with CUDA's own headers, and without a
// GPU.
#include <catch.hpp>
#include <cstring>
#include <tinygpt/gpu/cublaslt_library.cuh>

using namespace tinygpt;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

TEST_CASE("Where there is no cuBLASLt, one sentence says what to install") {
  CHECK_THROWS_WITH(
      gpu::detail::open_cublaslt({"/nowhere/libcublasLt.so.13", "libcublasLt-of-nobody.so"}),
      StartsWith("cuBLASLt, which multiplies matrices on the GPU, was not found (libcublasLt.so.13): install") &&
          Contains("pip install nvidia-cublas") && Contains("LD_LIBRARY_PATH"));
}

TEST_CASE("A cuBLASLt of another version is named with its place and both versions") {
  CHECK_THROWS_WITH(
      gpu::detail::open_cublaslt({"/nowhere/libcublasLt.so.13", TINYGPT_FAKE_CUBLASLT_12}),
      "the cuBLASLt at " TINYGPT_FAKE_CUBLASLT_12
      " is of version 12, and this program was built for 13: install cuBLAS 13 (pip install nvidia-cublas)");
}

TEST_CASE("A cuBLASLt that lacks a function is named with the function") {
  CHECK_THROWS_WITH(gpu::detail::open_cublaslt({TINYGPT_FAKE_CUBLASLT_13, TINYGPT_FAKE_CUBLASLT_12}),
                    StartsWith("the cuBLASLt at " TINYGPT_FAKE_CUBLASLT_13 " has no cublasLtGetStatusString: install"));
}

TEST_CASE("The places to look at are the system's, the toolkit's and the environment's") {
  ::setenv("CUDA_HOME", "/a/toolkit", 1);
  const std::vector<std::string> places = gpu::detail::cublaslt_places();
  CHECK(places.front() == "libcublasLt.so.13");
  CHECK(std::find(places.begin(), places.end(), "/a/toolkit/lib64/libcublasLt.so.13") != places.end());
  CHECK(std::find_if(places.begin(), places.end(), [](const std::string& place) {
          return place.ends_with("/nvidia/cu13/lib/libcublasLt.so.13") && place.starts_with("/");
        }) != places.end());
}

TEST_CASE("The cuBLASLt of this machine, where there is one, has every function") {
  try {
    const gpu::CublasLt& lt = gpu::cublaslt();
    CHECK(lt.version() / 10000 == 13);
    CHECK(std::strlen(lt.status_string(CUBLAS_STATUS_NOT_SUPPORTED)) > 0);
    CHECK_THROWS_WITH(lt.check(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmul"),
                      StartsWith("cuBLASLt failed in cublasLtMatmul at "));
  } catch (const Error& missing) {
    WARN("SKIPPED: " << missing.what());
  }
}
