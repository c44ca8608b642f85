# tinygpt_build_options(TARGET): how this project builds its own executables. Never applied to a consumer's targets.

# Shadowing is refused among locals only, which clang cannot be asked for: the words of GPT<...> (rope, head, layer, all)
# are constants of the namespace, and the library's own parameters are called by the same words.
set(TINYGPT_WARNINGS -Wall -Wextra -Wpedantic $<$<CXX_COMPILER_ID:GNU>:-Wshadow=local> -Werror)
# g++ before 12.3 takes the undefined operand of its own AVX-512 intrinsics for a mistake (GCC bug 105593).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12.3)
  list(APPEND TINYGPT_WARNINGS -Wno-uninitialized -Wno-maybe-uninitialized)
endif()

function(tinygpt_build_options TARGET)
  target_compile_options(${TARGET} PRIVATE ${TINYGPT_WARNINGS})
  if(TINYGPT_NATIVE)
    target_compile_options(${TARGET} PRIVATE -march=native)
  endif()
endfunction()
