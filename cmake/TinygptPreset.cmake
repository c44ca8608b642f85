# tinygpt_add_preset(NAME TYPE HEADER [DEFAULTS OPTIONS] [LISTED_IN PRESETS]): the executable tinygpt-NAME, with the
# commands info, train, generate, ... of the architecture TYPE, which HEADER defines:
#
#   tinygpt_add_preset(my_model "my::model" my/model.hpp)
#   tinygpt_add_preset(my_model "my::model" my/model.hpp DEFAULTS "{.batch_size = 8, .learning_rate = 3e-4}")
#
# Also for consumers: a preset of your own is a header with a typedef on your include path and this one line.
#
# DEFAULTS are its tinygpt::TrainOptions where the command line says nothing; or they, and the label of the documents,
# are those of NAME in PRESETS, an array of tinygpt::Preset.

set(TINYGPT_PRESET_MAIN ${CMAKE_CURRENT_LIST_DIR}/preset_main.cpp.in)
set(TINYGPT_CLI_SOURCE ${CMAKE_CURRENT_LIST_DIR}/tinygpt_cli.cpp)

# What does not depend on the type, the commands with CLI11 and the JSON library, is compiled once per build tree.
function(tinygpt_add_cli)
  if(TARGET tinygpt-cli)
    return()
  endif()
  find_package(CLI11 REQUIRED)
  add_library(tinygpt-cli STATIC EXCLUDE_FROM_ALL ${TINYGPT_CLI_SOURCE})
  target_link_libraries(tinygpt-cli PUBLIC tinygpt::tinygpt PRIVATE CLI11::CLI11)
  target_compile_definitions(tinygpt-cli INTERFACE TINYGPT_CLI_COMPILED)
endfunction()

function(tinygpt_add_preset NAME TYPE HEADER)
  cmake_parse_arguments(PARSE_ARGV 3 arg "" "DEFAULTS;LISTED_IN" "")
  tinygpt_add_cli()
  set(DEFAULTS "{}")
  set(LABEL "\"\"")
  if(arg_DEFAULTS)
    set(DEFAULTS "${arg_DEFAULTS}")
  endif()
  if(arg_LISTED_IN)
    set(DEFAULTS "tinygpt::presets::find(${arg_LISTED_IN}, \"${NAME}\")->defaults")
    set(LABEL "tinygpt::presets::find(${arg_LISTED_IN}, \"${NAME}\")->label")
  endif()
  set(main ${CMAKE_CURRENT_BINARY_DIR}/tinygpt-${NAME}.cpp)
  configure_file(${TINYGPT_PRESET_MAIN} ${main} @ONLY)
  add_executable(tinygpt-${NAME} ${main})
  target_link_libraries(tinygpt-${NAME} PRIVATE tinygpt::tinygpt tinygpt-cli)
endfunction()
