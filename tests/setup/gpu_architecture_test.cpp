#include "setup/gpu_architecture.h"

#include "tests/support/catch.h"

using namespace lococo;

TEST_CASE("kernels run on the capability they are built for, and later ones of its kind",
          "[setup]") {
  CHECK(architecture_problem("9.0", 9, 0) == "");
  CHECK(architecture_problem("8.0;9.0", 8, 9) == "");
  CHECK(architecture_problem("8.0 9.0", 9, 0) == "");
  CHECK(architecture_problem("9.0a", 9, 0) == "");
  CHECK(architecture_problem("8.0+PTX", 9, 0) == "");
  CHECK(architecture_problem("8.0;9.0+PTX", 12, 1) == "");
}

TEST_CASE("a GPU that no kernel is built for is told what to build", "[setup]") {
  CHECK(architecture_problem("9.0", 8, 9) ==
        "has compute capability 8.9, and this build's kernels are for 9.0; build with "
        "-DTORCH_CUDA_ARCH_LIST=8.9, or set distributed.device: cpu");
  CHECK(architecture_problem("9.0", 10, 0) != "");     // machine code of another major capability
  CHECK(architecture_problem("8.9", 8, 6) != "");      // an older one of the same
  CHECK(architecture_problem("9.0a", 9, 1) != "");     // those are of one GPU alone
  CHECK(architecture_problem("9.0+PTX", 8, 9) != "");  // nothing is compiled for what came before
  CHECK(architecture_problem("12.0", 1, 2) != "");
}

TEST_CASE("a CPU needs no kernels", "[setup]") { CHECK_NOTHROW(check_architecture(torch::kCPU)); }
