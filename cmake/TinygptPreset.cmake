# tinygpt_add_preset(NAME TYPE TYPE [HEADER FILE] [DEFAULTS OPTIONS] [LISTED_IN PRESETS])
# tinygpt_add_preset(NAME CONFIG FILE)
#
# The executable tinygpt-NAME, with the commands info, train, generate, ... of one architecture: a type that is written
# here, a type that a header of yours defines, or a JSON config, of which the tool makes the header when it is built:
#
#   tinygpt_add_preset(my_model TYPE "GPT<Layers<8>, Embd<512>, Heads<8>, Ctx<512>>")
#   tinygpt_add_preset(my_model TYPE "my::model" HEADER my/model.hpp DEFAULTS "{.batch_size = 8, .dropout = 0.1}")
#   tinygpt_add_preset(my_model CONFIG my_model.json)
#
# DEFAULTS are its tinygpt::TrainOptions where the command line says nothing; or they, and the label of the documents,
# are those of NAME in PRESETS, an array of tinygpt::Preset. A JSON config has both: its words are in
# docs/how-to/from-a-json-config.md.
#
# Where the build has CUDA (the target tinygpt::gpu), the program has the gpu backend beside the cpu. nvcc then reads the
# header too, so it includes <tinygpt/model/gpt.hpp> and not <tinygpt/tinygpt.hpp>, whose vectors are beyond nvcc.
#
# With TINYGPT_NATIVE on (as it is in this project; a consumer sets it) the program is for the processor of this machine,
# which makes training several times faster. Where CMAKE_BUILD_TYPE is empty the programs are optimised all the same, as
# one that is not is some 27 times slower.

# tinygpt_choose_program_flags(): sets program_flags and program_link_flags, how programs are compiled whatever the project
# says of its own, and all_flags with those of the project. They are optimised, and hardened where they are: a buffer that
# is overrun ends the program, and addresses cannot be guessed. Headers ask this of nobody.
function(tinygpt_choose_program_flags)
  get_property(multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
  string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
  string(STRIP "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${type}}" all_flags)
  set(flags "")
  set(link_flags "")
  if(NOT multi_config AND NOT CMAKE_BUILD_TYPE AND NOT all_flags MATCHES "-O")
    get_property(said GLOBAL PROPERTY TINYGPT_SAID_OPTIMISED)
    if(NOT said)
      message(STATUS "tinygpt: CMAKE_BUILD_TYPE is empty, so the programs of models are compiled with -O3")
      set_property(GLOBAL PROPERTY TINYGPT_SAID_OPTIMISED ON)
    endif()
    list(APPEND flags -O3 -DNDEBUG)
  endif()
  if("${all_flags} ${flags}" MATCHES "-O[123sf]" AND NOT all_flags MATCHES "-fsanitize")
    list(APPEND flags -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE)
    list(APPEND link_flags -pie -Wl,-z,relro -Wl,-z,now)
  endif()
  separate_arguments(all_flags)
  set(program_flags "${flags}" PARENT_SCOPE)
  set(program_link_flags "${link_flags}" PARENT_SCOPE)
  set(all_flags ${all_flags} ${flags} ${link_flags} PARENT_SCOPE)
endfunction()

function(tinygpt_program_options TARGET)
  tinygpt_choose_program_flags()
  foreach(flag IN LISTS program_flags)
    target_compile_options(${TARGET} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:${flag}> $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${flag}>)
  endforeach()
  target_link_options(${TARGET} PRIVATE ${program_link_flags})
endfunction()

# What does not depend on the type, the commands with CLI11 and the JSON library, is compiled once per build tree.
function(tinygpt_add_cli)
  if(TARGET tinygpt-cli)
    return()
  endif()
  find_package(CLI11 REQUIRED)
  add_library(tinygpt-cli STATIC EXCLUDE_FROM_ALL ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/tinygpt_cli.cpp)
  target_link_libraries(tinygpt-cli PUBLIC tinygpt::tinygpt PRIVATE CLI11::CLI11)
  target_compile_definitions(tinygpt-cli INTERFACE TINYGPT_CLI_COMPILED)
  tinygpt_program_options(tinygpt-cli)
endfunction()

# tinygpt_write_recipe(OUTPUT FILE INCLUDE FOLDER... SOURCES FOLDER LIBRARY FILE): how the tool compiles a model's program
# when it is asked for one, as tinygpt/cli/tool/recipe.hpp reads it. Paths are from the file's folder.
function(tinygpt_write_recipe)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "OUTPUT;SOURCES;LIBRARY" "INCLUDE")
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} --version OUTPUT_VARIABLE said ERROR_QUIET)
  string(REGEX MATCH "^[^\n]*" version "${said}")
  set(processor "")
  if(EXISTS /proc/cpuinfo)
    file(STRINGS /proc/cpuinfo processor REGEX "^(flags|Features)" LIMIT_COUNT 1)
  endif()
  string(REPLACE "\t" "\\t" processor "${processor}")
  tinygpt_choose_program_flags()
  set(flags ${all_flags})
  if(TINYGPT_NATIVE)
    list(APPEND flags -march=native)
  endif()
  set(libraries -pthread)
  if(TINYGPT_WITH_ONEDNN)
    list(APPEND flags -DTINYGPT_ONEDNN)
    list(APPEND arg_INCLUDE ${TINYGPT_ONEDNN_INCLUDE_DIR})
    list(APPEND libraries ${TINYGPT_ONEDNN_LIBRARY} ${OpenMP_CXX_LIBRARIES})
  endif()
  list(APPEND arg_INCLUDE $<TARGET_PROPERTY:Eigen3::Eigen,INTERFACE_INCLUDE_DIRECTORIES>
       $<TARGET_PROPERTY:nlohmann_json::nlohmann_json,INTERFACE_INCLUDE_DIRECTORIES>
       $<TARGET_PROPERTY:CLI11::CLI11,INTERFACE_INCLUDE_DIRECTORIES>)
  string(REPLACE ";" " " flags "${flags}")
  string(REPLACE ";" " " libraries "${libraries}")
  file(GENERATE OUTPUT ${arg_OUTPUT} CONTENT "{
  \"sources\": \"${arg_SOURCES}\",
  \"include\": [\"$<JOIN:${arg_INCLUDE},\"$<COMMA> \">\"],
  \"library\": \"${arg_LIBRARY}\",
  \"compiler\": \"${CMAKE_CXX_COMPILER}\",
  \"compiler_version\": \"${version}\",
  \"flags\": \"${flags}\",
  \"libraries\": \"${libraries}\",
  \"processor\": \"${processor}\"
}
")
endfunction()

# tinygpt::prepare, what include/tinygpt/prepare needs beside the library: zlib and zstd to read compressed text, xxHash for
# fingerprints.
function(tinygpt_add_prepare)
  if(TARGET tinygpt::prepare)
    return()
  endif()
  find_package(ZLIB REQUIRED)
  find_path(TINYGPT_ZSTD_INCLUDE_DIR zstd.h)
  find_library(TINYGPT_ZSTD_LIBRARY zstd)
  find_path(TINYGPT_XXHASH_INCLUDE_DIR xxhash.h)
  mark_as_advanced(TINYGPT_ZSTD_INCLUDE_DIR TINYGPT_ZSTD_LIBRARY TINYGPT_XXHASH_INCLUDE_DIR)
  if(NOT TINYGPT_ZSTD_INCLUDE_DIR OR NOT TINYGPT_ZSTD_LIBRARY)
    message(FATAL_ERROR "tinygpt prepare reads .zst: install zstd's headers, on Debian with apt-get install libzstd-dev")
  endif()
  if(NOT TINYGPT_XXHASH_INCLUDE_DIR)
    message(FATAL_ERROR "tinygpt prepare knows texts by xxHash: install it, on Debian with apt-get install libxxhash-dev")
  endif()
  add_library(tinygpt-prepare INTERFACE)
  add_library(tinygpt::prepare ALIAS tinygpt-prepare)
  target_include_directories(tinygpt-prepare SYSTEM INTERFACE ${TINYGPT_ZSTD_INCLUDE_DIR} ${TINYGPT_XXHASH_INCLUDE_DIR})
  target_link_libraries(tinygpt-prepare INTERFACE tinygpt::tinygpt ZLIB::ZLIB ${TINYGPT_ZSTD_LIBRARY})
endfunction()

# The program tinygpt, once per build; outside this project only when something needs it.
function(tinygpt_add_tool)
  if(TARGET tinygpt-tool)
    return()
  endif()
  find_package(CLI11 REQUIRED)
  tinygpt_add_prepare()
  add_executable(tinygpt-tool EXCLUDE_FROM_ALL ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/tool_main.cpp)
  set_target_properties(tinygpt-tool PROPERTIES OUTPUT_NAME tinygpt)
  target_link_libraries(tinygpt-tool PRIVATE tinygpt::prepare CLI11::CLI11 ${CMAKE_DL_LIBS})
  tinygpt_program_options(tinygpt-tool)
  # Beside the tool, which looks for it there.
  tinygpt_add_cli()
  get_target_property(include tinygpt::tinygpt INTERFACE_INCLUDE_DIRECTORIES)
  tinygpt_write_recipe(OUTPUT $<TARGET_FILE_DIR:tinygpt-tool>/tinygpt-programs.json
                       INCLUDE ${include} SOURCES ${CMAKE_CURRENT_FUNCTION_LIST_DIR} LIBRARY $<TARGET_FILE:tinygpt-cli>)
endfunction()

function(tinygpt_add_preset NAME)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TYPE;HEADER;CONFIG;DEFAULTS;LISTED_IN" "")
  if(arg_UNPARSED_ARGUMENTS OR (arg_TYPE AND arg_CONFIG) OR NOT (arg_TYPE OR arg_CONFIG))
    message(FATAL_ERROR "tinygpt_add_preset(${NAME} ...) needs TYPE \"GPT<...>\" or CONFIG my.json: see TinygptPreset.cmake")
  endif()
  if(arg_CONFIG AND (arg_HEADER OR arg_DEFAULTS OR arg_LISTED_IN))
    message(FATAL_ERROR "tinygpt_add_preset(${NAME} CONFIG ...): the config says all, so remove HEADER, DEFAULTS and LISTED_IN")
  endif()
  tinygpt_add_cli()
  set(TYPE "${arg_TYPE}")
  set(INCLUDE "")
  set(DEFAULTS "{}")
  set(LABEL "{}")
  set(made "")
  if(arg_HEADER)
    set(INCLUDE "#include <${arg_HEADER}>\n")
  endif()
  if(arg_DEFAULTS)
    set(DEFAULTS "${arg_DEFAULTS}")
  endif()
  if(arg_LISTED_IN)
    set(DEFAULTS "tinygpt::presets::find(${arg_LISTED_IN}, \"${NAME}\")->defaults")
    set(LABEL "tinygpt::presets::find(${arg_LISTED_IN}, \"${NAME}\")->label")
  endif()
  if(arg_CONFIG)
    tinygpt_add_tool()
    get_filename_component(config ${arg_CONFIG} ABSOLUTE)
    if(NOT EXISTS ${config})
      message(FATAL_ERROR "tinygpt_add_preset(${NAME} CONFIG ${arg_CONFIG}): there is no file ${config}")
    endif()
    string(MAKE_C_IDENTIFIER "${NAME}" type)
    set(made ${CMAKE_CURRENT_BINARY_DIR}/tinygpt-${NAME}-model/tinygpt/models/${type}.hpp)
    add_custom_command(
      OUTPUT ${made}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/tinygpt-${NAME}-model/tinygpt/models
      COMMAND tinygpt-tool new ${config} --name ${type} --out ${made}
      DEPENDS ${config} tinygpt-tool
      COMMENT "${arg_CONFIG} becomes the type tinygpt::models::${type}"
      VERBATIM)
    set(TYPE "tinygpt::models::${type}")
    set(DEFAULTS "tinygpt::models::${type}_defaults")
    set(INCLUDE "#include <tinygpt/models/${type}.hpp>\n")
  endif()
  set(main ${CMAKE_CURRENT_BINARY_DIR}/tinygpt-${NAME}.cpp)
  set(on_gpu "")
  set(DECLARATION "")
  set(GPU "")
  if(TARGET tinygpt::gpu)
    set(on_gpu ${CMAKE_CURRENT_BINARY_DIR}/tinygpt-${NAME}-gpu.cu)
    set(DECLARATION "const tinygpt::cli::ModelOnGpu& gpu_model();\n")
    set(GPU ", &gpu_model()")
    configure_file(${CMAKE_CURRENT_FUNCTION_LIST_DIR}/preset_gpu.cu.in ${on_gpu} @ONLY)
  endif()
  configure_file(${CMAKE_CURRENT_FUNCTION_LIST_DIR}/preset_main.cpp.in ${main} @ONLY)
  add_executable(tinygpt-${NAME} ${main} ${on_gpu} ${made})
  target_link_libraries(tinygpt-${NAME} PRIVATE tinygpt::tinygpt tinygpt-cli)
  tinygpt_program_options(tinygpt-${NAME})
  if(on_gpu)
    target_link_libraries(tinygpt-${NAME} PRIVATE tinygpt::gpu)
  endif()
  if(TINYGPT_NATIVE)
    target_compile_options(tinygpt-${NAME} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-march=native>
                                                   $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-march=native>)
  endif()
  if(made)
    target_include_directories(tinygpt-${NAME} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/tinygpt-${NAME}-model)
  endif()
endfunction()
