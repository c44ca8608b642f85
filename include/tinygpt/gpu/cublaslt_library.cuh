// Finds cuBLASLt when the program runs. (tests/support/emulator has a twin of this header with a library of its own.)
#pragma once

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <tinygpt/gpu/cublaslt.cuh>

namespace tinygpt::gpu {

namespace detail {

/// The version that the header of this build declares functions of. A later minor version has them all.
inline constexpr std::size_t cublaslt_major = CUBLAS_VER_MAJOR;

/// Where the library may be, the likeliest first: where the system looks (LD_LIBRARY_PATH, ldconfig), NVIDIA's toolkit,
/// and the wheel nvidia-cublas of a Python environment, or unpacked beside the program.
inline std::vector<std::string> cublaslt_places() {
  namespace fs = std::filesystem;
  const std::string name = "libcublasLt.so." + std::to_string(cublaslt_major);
  const std::string wheel = "nvidia/cu" + std::to_string(cublaslt_major) + "/lib/" + name;
  std::vector<std::string> places{name};
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
    if (const char* home = std::getenv(variable)) {
      for (const char* folder : {"/lib64/", "/lib/"}) places.push_back(home + std::string(folder) + name);
    }
  }
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  if (!program.empty()) {
    places.push_back((program / wheel).string());
    places.push_back((program / ".." / "lib" / name).string());
  }
  for (const char* variable : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    const char* environment = std::getenv(variable);
    if (environment == nullptr) continue;
    for (const auto& python : fs::directory_iterator(fs::path(environment) / "lib", ignored)) {
      if (python.path().filename().string().starts_with("python")) {
        places.push_back((python.path() / "site-packages" / wheel).string());
      }
    }
  }
  places.push_back("/usr/local/cuda/lib64/" + name);
  places.push_back("/opt/cuda/lib64/" + name);
  places.push_back("libcublasLt.so");  // last, as it may be of any version
  return places;
}

template <class Function> void find(void* library, const char* name, Function& function, const std::string& place) {
  void* const address = ::dlsym(library, name);
  if (address == nullptr) {
    throw Error("the cuBLASLt at " + place + " has no " + name + ": install cuBLAS " + std::to_string(cublaslt_major) +
                " (pip install nvidia-cublas)");
  }
  function = reinterpret_cast<Function>(address);
}

/// The library at the first place that has one. It stays open to the end of the program.
inline CublasLt open_cublaslt(const std::vector<std::string>& places) {
  void* library = nullptr;
  std::string place;
  for (const std::string& candidate : places) {
    library = ::dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
    place = candidate;
    if (library != nullptr) break;
  }
  if (library == nullptr) {
    const std::string major = std::to_string(cublaslt_major);
    throw Error("cuBLASLt, which multiplies matrices on the GPU, was not found (libcublasLt.so." + major +
                "): install CUDA " + major + ", or pip install nvidia-cublas and put the folder nvidia/cu" + major +
                "/lib of its environment into LD_LIBRARY_PATH");
  }
  CublasLt lt{};
  find(library, "cublasLtGetVersion", lt.version, place);
  if (const std::size_t version = lt.version(); version / 10000 != cublaslt_major) {
    throw Error("the cuBLASLt at " + place + " is of version " + std::to_string(version / 10000) +
                ", and this program was built for " + std::to_string(cublaslt_major) + ": install cuBLAS " +
                std::to_string(cublaslt_major) + " (pip install nvidia-cublas)");
  }
  find(library, "cublasLtGetStatusString", lt.status_string, place);
  find(library, "cublasLtCreate", lt.create, place);
  find(library, "cublasLtDestroy", lt.destroy, place);
  find(library, "cublasLtMatmulDescCreate", lt.desc_create, place);
  find(library, "cublasLtMatmulDescDestroy", lt.desc_destroy, place);
  find(library, "cublasLtMatmulDescSetAttribute", lt.desc_set, place);
  find(library, "cublasLtMatrixLayoutCreate", lt.layout_create, place);
  find(library, "cublasLtMatrixLayoutDestroy", lt.layout_destroy, place);
  find(library, "cublasLtMatmulPreferenceCreate", lt.preference_create, place);
  find(library, "cublasLtMatmulPreferenceDestroy", lt.preference_destroy, place);
  find(library, "cublasLtMatmulPreferenceSetAttribute", lt.preference_set, place);
  find(library, "cublasLtMatmulAlgoGetHeuristic", lt.heuristic, place);
  find(library, "cublasLtMatmulAlgoCheck", lt.algo_check, place);
  find(library, "cublasLtMatmul", lt.matmul, place);
  return lt;
}

}  // namespace detail

/// The library, opened at the first call. Throws an Error that names what to install.
inline const CublasLt& cublaslt() {
  static const CublasLt library = detail::open_cublaslt(detail::cublaslt_places());
  return library;
}

}  // namespace tinygpt::gpu
