# Configures and builds tests/install/own_models after an installation, and asks each program what it is.
file(REMOVE_RECURSE ${WORK})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(failed)
    string(REPLACE ";" " " command "${ARGN}")
    message(FATAL_ERROR "${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/tinygpt -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
    -DTINYGPT_BUILD_TESTS=OFF -DTINYGPT_BUILD_BENCHMARKS=OFF -DTINYGPT_BUILD_EXAMPLES=OFF -DTINYGPT_BUILD_PRESETS=OFF
    -DTINYGPT_GPU=OFF)
run(${CMAKE_COMMAND} --install ${WORK}/tinygpt --prefix ${WORK}/prefix)
run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/own_models -B ${WORK}/build -G ${GENERATOR}
    -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0
    -DCMAKE_PREFIX_PATH=${WORK}/prefix)
run(${CMAKE_COMMAND} --build ${WORK}/build)

function(expect NAME)
  run(${WORK}/build/tinygpt ${NAME} info --json)
  foreach(text IN LISTS ARGN)
    string(FIND "${output}" "${text}" at)
    if(at LESS 0)
      message(FATAL_ERROR "tinygpt-${NAME} info does not say ${text}:\n${output}")
    endif()
  endforeach()
endfunction()

expect(from_json "GPT<Layers<2>, Embd<32>, Heads<4>, Ctx<16>, Vocab<256>, Activation<swiglu>, Bias<all>>"
       "\"train_batch_size\": 5")
expect(from_type "GPT<Layers<2>, Embd<32>, Heads<4, 2>, Ctx<16>, Vocab<256>, Norm<rms>, Positions<rope>>")

# A wrong config ends the build with the sentence of the tool.
file(READ ${CMAKE_CURRENT_LIST_DIR}/own_models/from_json.json text)
string(REPLACE "\"n_embd\": 32" "\"n_embd\": 33" text "${text}")
file(WRITE ${WORK}/wrong.json "${text}")
execute_process(COMMAND ${WORK}/build/tinygpt new ${WORK}/wrong.json RESULT_VARIABLE failed ERROR_VARIABLE output
                OUTPUT_QUIET)
if(NOT failed EQUAL 1 OR NOT output MATCHES "wrong.json:6: n_embd must be a multiple of n_head .4., not 33: write 32 or 36")
  message(FATAL_ERROR "a wrong config gave ${failed}: ${output}")
endif()

# Somebody else's model in two steps: the line of CMake that config-from says, built; then it is read, trained on and
# written by. It has no tokenizer of its own, so training takes the characters of the text.
set(theirs ${CMAKE_CURRENT_LIST_DIR}/../golden/hf/llama_wide_heads)
run(${WORK}/build/tinygpt config-from ${theirs} --name theirs)
if(NOT output MATCHES "\n(tinygpt_add_preset\\(theirs TYPE \"GPT<[^\n]*>\"\\))\n")
  message(FATAL_ERROR "config-from does not say how to build the model:\n${output}")
endif()
file(WRITE ${WORK}/theirs/CMakeLists.txt "cmake_minimum_required(VERSION 3.22)\nproject(theirs LANGUAGES CXX)\n"
     "find_package(tinygpt 0.1 REQUIRED)\n${CMAKE_MATCH_1}\n")
run(${CMAKE_COMMAND} -S ${WORK}/theirs -B ${WORK}/theirs/build -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
    -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 -DCMAKE_PREFIX_PATH=${WORK}/prefix)
run(${CMAKE_COMMAND} --build ${WORK}/theirs/build)
set(program ${WORK}/theirs/build/tinygpt-theirs)
run(${program} import --from ${theirs} --out ${WORK}/mine)
string(REPEAT "the quick brown fox jumps over the lazy dog\n" 100 text)
file(WRITE ${WORK}/text.txt "${text}")
run(${program} train --init-from-model ${WORK}/mine --input-file ${WORK}/text.txt --out ${WORK}/run --max-iters 2
    --batch-size 1 --eval-iters 1)
run(${program} generate --model ${WORK}/run --max-new-tokens 5)
