# The target tinygpt-onednn: oneDNN 2 or 3 for the products of the cpu backend, where it is found. Found by its header, because
# Debian's package file for CMake asks for OpenCL.
find_path(TINYGPT_ONEDNN_INCLUDE_DIR oneapi/dnnl/dnnl.hpp)
find_library(TINYGPT_ONEDNN_LIBRARY dnnl)
mark_as_advanced(TINYGPT_ONEDNN_INCLUDE_DIR TINYGPT_ONEDNN_LIBRARY)
if(TINYGPT_ONEDNN_INCLUDE_DIR AND TINYGPT_ONEDNN_LIBRARY)
  find_package(OpenMP QUIET COMPONENTS CXX)  # whose threads oneDNN has, as a rule: its library alone
  add_library(tinygpt-onednn INTERFACE)
  target_include_directories(tinygpt-onednn SYSTEM INTERFACE ${TINYGPT_ONEDNN_INCLUDE_DIR})
  target_link_libraries(tinygpt-onednn INTERFACE ${TINYGPT_ONEDNN_LIBRARY} ${OpenMP_CXX_LIBRARIES})
  target_compile_definitions(tinygpt-onednn INTERFACE TINYGPT_ONEDNN)
endif()
