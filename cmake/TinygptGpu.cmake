# The target tinygpt::gpu, for this project, and for one that uses it and has the language CUDA:
#
#   project(my_project LANGUAGES CXX CUDA)
#   find_package(tinygpt 0.1 REQUIRED COMPONENTS gpu)
#   target_link_libraries(my_program PRIVATE tinygpt::gpu)
#
# It says what the headers of tinygpt/gpu need, and nothing about optimisation or architectures: those are the
# consumer's. cuBLASLt and NVML are opened when the program runs, and CMake links CUDA's runtime statically unless told
# otherwise; so a program with this backend needs no library of CUDA's, and starts on a machine that has none.

set(TINYGPT_CUDA_OLDEST 13.0)

function(tinygpt_add_gpu_target)
  if(TARGET tinygpt::gpu)
    return()
  endif()
  find_package(Threads REQUIRED)
  add_library(tinygpt::gpu INTERFACE IMPORTED GLOBAL)
  target_link_libraries(tinygpt::gpu INTERFACE tinygpt::tinygpt Threads::Threads ${CMAKE_DL_LIBS} rt)
  # Not CUDA_STANDARD 20, which CMake 3.25 does not know of any nvcc. The second option lets kernels call what is
  # constexpr, which is everything about an architecture.
  target_compile_options(tinygpt::gpu INTERFACE
    $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20> $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>)
endfunction()
