# Configures, builds and runs tests/install/consumer, which reaches tinygpt by WAY, in the fresh directory WORK.
file(REMOVE_RECURSE ${WORK})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(failed)
    string(REPLACE ";" " " command "${ARGN}")
    message(FATAL_ERROR "${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

set(prefix "")
if(WAY STREQUAL find_package)
  run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/tinygpt -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
      -DTINYGPT_BUILD_TESTS=OFF -DTINYGPT_BUILD_BENCHMARKS=OFF -DTINYGPT_BUILD_EXAMPLES=OFF -DTINYGPT_BUILD_PRESETS=OFF
      -DTINYGPT_GPU=OFF)
  run(${CMAKE_COMMAND} --install ${WORK}/tinygpt --prefix ${WORK}/prefix)
  foreach(file include/tinygpt/model/gpt.hpp include/tinygpt/presets/classic.hpp
               share/licenses/tinygpt/LICENSE share/cmake/tinygpt/tinygpt-config.cmake share/cmake/tinygpt/tinygpt-config-version.cmake)
    if(NOT EXISTS ${WORK}/prefix/${file})
      message(FATAL_ERROR "the installation lacks ${file}")
    endif()
  endforeach()
  set(prefix -DCMAKE_PREFIX_PATH=${WORK}/prefix)
endif()

run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/consumer -B ${WORK}/consumer -G ${GENERATOR}
    -DCMAKE_CXX_COMPILER=${COMPILER} -DWAY=${WAY} -DTINYGPT_SOURCE=${SOURCE} ${prefix}
    -DCMAKE_EXPORT_COMPILE_COMMANDS=ON)
# Who says nothing about optimisation gets a program that is optimised and hardened all the same.
file(READ ${WORK}/consumer/compile_commands.json commands)
if(NOT commands MATCHES "-O3 -DNDEBUG -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE[^\n]*tinygpt-my_model.cpp")
  message(FATAL_ERROR "a program without a build type is compiled so: ${commands}")
endif()
# What is built here is not, as that takes the compiler longer.
run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/consumer -B ${WORK}/consumer -DCMAKE_BUILD_TYPE=Debug
    -DCMAKE_CXX_FLAGS_DEBUG=-O0)
run(${CMAKE_COMMAND} --build ${WORK}/consumer)
run(${CMAKE_COMMAND} -E chdir ${WORK}/consumer ./consumer)
if(NOT output MATCHES "1846656 parameters, loss 5\\.545")
  message(FATAL_ERROR "the consumer printed: ${output}")
endif()
message(STATUS "${WAY}: ${output}")

if(WAY STREQUAL find_package)
  run(${CMAKE_COMMAND} -E chdir ${WORK}/consumer ./tinygpt-my_model info)
  if(NOT output MATCHES "my_model" OR NOT output MATCHES "3 sequences a step, 1,000 steps, learning rate 0.0002")
    message(FATAL_ERROR "the consumer's own model printed: ${output}")
  endif()
  if(NOT output MATCHES "built without optimisation")
    message(FATAL_ERROR "a program without optimisation does not say so: ${output}")
  endif()
endif()
