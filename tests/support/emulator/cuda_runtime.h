// Twin of CUDA's own <cuda_runtime.h>: lets a plain compiler take kernel headers, and runs their kernels on the host.
//
// This folder stands first on the include path of an emulated program; its twins of gpu/ptx.cuh, gpu/block_reduce.cuh and
// gpu/launch.cuh hide the library's own. Everything else of the library is the source that nvcc compiles.
#pragma once

#include <emulator/types.hpp>
#include <emulator/machine.hpp>
#include <emulator/builtins.hpp>
#include <emulator/stream.hpp>
#include <emulator/host.hpp>
