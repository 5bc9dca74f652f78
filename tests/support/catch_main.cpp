#include "tests/support/catch_session.h"

int main(int argc, char** argv) { return lococo::testing::run_catch_session(argc, argv); }
