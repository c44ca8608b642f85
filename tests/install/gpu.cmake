# After an installation, builds and runs a program with the component gpu; and leaves out the language CUDA.
file(REMOVE_RECURSE ${WORK})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(failed)
    string(REPLACE ";" " " command "${ARGN}")
    message(FATAL_ERROR "${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# What is installed does not depend on whether the machine that installs has CUDA.
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/tinygpt -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
    -DTINYGPT_BUILD_TESTS=OFF -DTINYGPT_BUILD_BENCHMARKS=OFF -DTINYGPT_BUILD_EXAMPLES=OFF -DTINYGPT_BUILD_PRESETS=OFF
    -DTINYGPT_GPU=OFF)
run(${CMAKE_COMMAND} --install ${WORK}/tinygpt --prefix ${WORK}/prefix)

set(configure ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/gpu_consumer -G ${GENERATOR}
    -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_CXX_COMPILER=${COMPILER} -DPROGRAM=${SOURCE}/tests/gpu_compile/main.cu)
run(${configure} -B ${WORK}/build "-DLANGUAGES=CXX\;CUDA" -DCMAKE_CUDA_COMPILER=${NVCC}
    -DCMAKE_CUDA_HOST_COMPILER=${COMPILER} -DCMAKE_CUDA_ARCHITECTURES=90)
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${CMAKE_COMMAND} -E chdir ${WORK}/build ./gpu_consumer)
message(STATUS "${output}")

execute_process(COMMAND ${configure} -B ${WORK}/without -DLANGUAGES=CXX RESULT_VARIABLE failed ERROR_VARIABLE output
                OUTPUT_QUIET)
string(REGEX REPLACE "[ \n]+" " " output "${output}")
if(NOT failed OR NOT output MATCHES "component gpu needs the language CUDA .* write project")
  message(FATAL_ERROR "without the language CUDA, find_package gave ${failed}: ${output}")
endif()
