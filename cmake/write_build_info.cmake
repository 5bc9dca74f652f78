# Script: fills build_info.h.in. Works without git (a source archive): the revision is "unknown".
set(ENV{GIT_OPTIONAL_LOCKS} 0)
execute_process(
  COMMAND git describe --always --dirty --abbrev=12 --exclude *
  WORKING_DIRECTORY "${SOURCE}" OUTPUT_VARIABLE REVISION OUTPUT_STRIP_TRAILING_WHITESPACE
  ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR NOT REVISION)
  set(REVISION "unknown")
endif()
configure_file("${TEMPLATE}" "${OUTPUT}" @ONLY)
