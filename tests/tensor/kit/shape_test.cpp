#include "tensor/kit/shape.h"

#include <string>

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/user_error.h"

using namespace lococo;

namespace {

std::string message_of(const torch::Tensor& q_BHLD) {
  try {
    CHECK_SHAPE(q_BHLD, 2, -1, 4);
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

}  // namespace

TEST_CASE("a shape check accepts the sizes it names and any size for -1", "[tensor]") {
  CHECK(message_of(torch::zeros({2, 3, 4})).empty());
  CHECK(message_of(torch::zeros({2, 9, 4})).empty());
}

TEST_CASE("a failed shape check names the tensor, what it wants and what it got", "[tensor]") {
  const auto message = message_of(torch::zeros({2, 3, 5}));
  CHECK_CONTAINS(message, "q_BHLD");
  CHECK_CONTAINS(message, "[2, -1, 4]");
  CHECK_CONTAINS(message, "[2, 3, 5]");
  CHECK_CONTAINS(message_of(torch::zeros({2, 3})), "[2, 3]");
  CHECK_CONTAINS(message_of(torch::Tensor()), "undefined");
}
