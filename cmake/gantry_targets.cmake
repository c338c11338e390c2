# SPDX-License-Identifier: Apache-2.0
# One library target per folder: gantry_library(base ...) makes gantry_base of all *.cc beside it but the tests, and
# gantry_base_test of the tests. A folder that is not listed in DEPS can't be linked, so a wrong include is a link error too.
set(GANTRY_SRC ${CMAKE_SOURCE_DIR}/src)
# -iquote, not -I: src/sys must never answer for <sys/socket.h>.
add_compile_options("SHELL:-iquote ${GANTRY_SRC}" "SHELL:-iquote ${CMAKE_SOURCE_DIR}")

# PARTS are folders beneath it that belong to the same library.
#
# gantry_library(NAME [FOLDER dir] [PARTS folder...] [EXCLUDE file...] [DEPS target...] [PRIVATE target...] [TEST_DEPS target...])
function(gantry_library name)
  cmake_parse_arguments(arg "" "FOLDER" "PARTS;EXCLUDE;DEPS;PRIVATE;TEST_DEPS" ${ARGN})
  if(NOT arg_FOLDER)
    set(arg_FOLDER ${CMAKE_CURRENT_SOURCE_DIR})
  endif()
  list(TRANSFORM arg_PARTS PREPEND ${arg_FOLDER}/)
  list(TRANSFORM arg_PARTS APPEND /*.cc)
  file(GLOB sources CONFIGURE_DEPENDS ${arg_FOLDER}/*.cc ${arg_PARTS})
  foreach(file ${arg_EXCLUDE})
    list(REMOVE_ITEM sources ${arg_FOLDER}/${file})
  endforeach()
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  if(sources)
    add_library(gantry_${name} STATIC ${sources})
    target_link_libraries(gantry_${name} PUBLIC ${arg_DEPS} PRIVATE ${arg_PRIVATE})
  else()
    add_library(gantry_${name} INTERFACE)
    target_link_libraries(gantry_${name} INTERFACE ${arg_DEPS})
  endif()
  if(tests)
    gantry_test(unit gantry_${name}_test SOURCES ${tests} DEPS gantry_${name} ${arg_PRIVATE} ${arg_TEST_DEPS})
  endif()
endfunction()

# gantry_test(KIND NAME SOURCES file... DEPS target...): a GoogleTest program in bin/tests/KIND, where scripts/test finds it.
function(gantry_test kind name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} GTest::gmock)
  if(NOT kind STREQUAL "node")  # node tests have the main() of tests/support/node_main.cc
    target_link_libraries(${name} PRIVATE GTest::gtest_main)
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/tests/${kind})
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${kind})
endfunction()
