# Kernels on a machine without a GPU: they are compiled by the C++ compiler and run on the emulator of this folder.
find_package(Boost 1.74 REQUIRED COMPONENTS context)
set(tinygpt_emulator_dir ${CMAKE_CURRENT_LIST_DIR})

# tinygpt_emulate(TARGET [SANITIZERS]): the *.cuh that the target includes become host code. SANITIZERS: address,undefined
# finds accesses beyond what was allocated, thread finds a barrier that is missing.
function(tinygpt_emulate TARGET)
  # Before everything else: its files hide <cuda_runtime.h>, gpu/ptx.cuh, gpu/block_reduce.cuh and gpu/launch.cuh.
  target_include_directories(${TARGET} BEFORE PRIVATE ${tinygpt_emulator_dir})
  target_link_libraries(${TARGET} PRIVATE Boost::context)
  # Kernels are written for nvcc, which knows #pragma unroll and does not reason from the types of accesses.
  target_compile_options(${TARGET} PRIVATE -Wno-unknown-pragmas -fno-strict-aliasing)
  if(ARGN)
    target_compile_options(${TARGET} PRIVATE -O1 -g1 -fno-omit-frame-pointer -fsanitize=${ARGN} -fno-sanitize-recover=all)
    target_link_options(${TARGET} PRIVATE -fsanitize=${ARGN})
  endif()
endfunction()

# Has the build type sanitizers already, which others would contradict?
string(TOUPPER "${CMAKE_BUILD_TYPE}" tinygpt_build_type)
string(FIND "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${tinygpt_build_type}}" -fsanitize tinygpt_sanitized)
if(tinygpt_sanitized EQUAL -1)
  set(TINYGPT_SANITIZED OFF)
else()
  set(TINYGPT_SANITIZED ON)
endif()
