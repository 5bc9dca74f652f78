#include "train/closing_evaluation.h"

#include <functional>
#include <new>
#include <stdexcept>
#include <string>

#include "core/error.h"
#include "core/log.h"
#include "tests/support/catch.h"
#include "tests/support/lonely_rank.h"
#include "tests/support/stderr_of.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

const std::string kFolder = "runs/x/step-00000040";

}  // namespace

TEST_CASE("a closing evaluation that fails is told, and the checkpoint named", "[train]") {
  configure_log(LogLevel::kInfo, /*is_main_rank=*/true);
  const auto alone = make_single_communicator();
  const auto said = [&](const std::function<void()>& body) {
    return stderr_of([&] { run_closing_evaluation(*alone, kFolder, body); });
  };
  CHECK(said([] {}).empty());
  const std::string line = said([] { throw std::runtime_error("x.bin: is cut short\nbacktrace"); });
  CHECK_CONTAINS(line,
                 "no evaluation after training: x.bin: is cut short; the training is done, and its "
                 "checkpoint " +
                     kFolder + " is good");
  CHECK_CONTAINS(said([] { throw std::bad_alloc(); }), "not enough memory");
}

TEST_CASE("a rank whose closing evaluation fails ends all as one that is done", "[train]") {
  configure_log(LogLevel::kInfo, /*is_main_rank=*/false);
  LonelyRank rank(1, 2);
  int code = -1;
  const std::string line = stderr_of([&] {
    try {
      run_closing_evaluation(rank, kFolder, [] { throw UserError("x.bin: is cut short"); });
    } catch (const AllEnded& ended) {
      code = ended.code;
    }
  });
  CHECK(code == 0);
  CHECK_CONTAINS(line, "rank 1: no evaluation after training: x.bin: is cut short");
  CHECK_CONTAINS(line, kFolder + " is good");
}
