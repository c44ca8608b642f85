# tinygpt_build_options(TARGET): how this project builds its own executables. Never applied to a consumer's targets.

# Shadowing is refused among locals only, which clang cannot be asked for: the words of GPT<...> (rope, head, layer, all)
# are constants of the namespace, and the library's own parameters are called by the same words.
set(TINYGPT_WARNINGS -Wall -Wextra -Wpedantic -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND TINYGPT_WARNINGS -Wshadow=local)
endif()
# g++ 12 takes the undefined operand of its own AVX-512 intrinsics for a mistake (GCC bug 105593), and Eigen's vector
# stores into small tensors, which a test of the size guards, for writes out of bounds, and joined strings for copies that
# overlap (GCC bug 105651). The asan build looks at all of them.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND TINYGPT_WARNINGS -Wno-uninitialized -Wno-maybe-uninitialized -Wno-array-bounds -Wno-stringop-overflow
       -Wno-restrict)
endif()

# nvcc has warnings of its own, and gives the host compiler a file that it has written itself: that has line directives
# of GCC's kind, and parentheses where the source has none.
list(JOIN TINYGPT_WARNINGS "," tinygpt_host_warnings)
string(REPLACE ",-Wpedantic" "" tinygpt_host_warnings "${tinygpt_host_warnings}")
set(TINYGPT_CUDA_WARNINGS -Werror=all-warnings -Xcompiler=${tinygpt_host_warnings},-Wno-parentheses)

function(tinygpt_build_options TARGET)
  target_compile_options(${TARGET} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${TINYGPT_WARNINGS}>")
  # Profilers and checkers then name lines of kernels; the code is the same.
  target_compile_options(${TARGET} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${TINYGPT_CUDA_WARNINGS};-lineinfo>")
  if(TINYGPT_NATIVE)
    target_compile_options(${TARGET} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-march=native>
                                             $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-march=native>)
  endif()
endfunction()
