// A library that says it is cuBLASLt of version FAKE_VERSION and has no other function.
#include <cstddef>

extern "C" std::size_t cublasLtGetVersion() { return FAKE_VERSION; }
