# tinygpt_add_preset(NAME TYPE HEADER): the executable tinygpt-NAME, with the commands info, train, generate, ... of the
# architecture TYPE, which HEADER defines:
#
#   tinygpt_add_preset(tiny_char "tinygpt::presets::tiny_char" tinygpt/presets/classic.hpp)
#
# Also for consumers: a preset of your own is a header with a typedef on your include path and this one line.

function(tinygpt_add_preset NAME TYPE HEADER)
  find_package(CLI11 REQUIRED)
  set(main ${CMAKE_CURRENT_BINARY_DIR}/tinygpt-${NAME}.cpp)
  configure_file(${CMAKE_CURRENT_FUNCTION_LIST_DIR}/preset_main.cpp.in ${main} @ONLY)
  add_executable(tinygpt-${NAME} ${main})
  target_link_libraries(tinygpt-${NAME} PRIVATE tinygpt::tinygpt CLI11::CLI11)
endfunction()
