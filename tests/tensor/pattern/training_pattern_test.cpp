#include "tensor/pattern/training_pattern.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/pattern_cases.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("a config's pattern is said in numbers and is what runs", "[tensor]") {
  AttentionConfig attention;
  CHECK(describe_pattern(attention, 16, 4) ==
        "attention in training: full, a token sees all before it");
  attention.pattern = PatternKind::kSf;
  CHECK(describe_pattern(attention, 16, 4) ==
        "attention in training: sf, segments of 4 tokens, shifted by 2 in 1 of 4 heads, 4 sinks");
  PatternCase c;
  c.H = 4, c.G = 4, c.L = 11;  // a shorter batch has the segments of the context all the same
  c.form = {/*group=*/4, /*shifted_heads=*/1, /*sinks=*/4};
  const auto x = random_qkv(c, torch::kFloat32);
  const auto want = make_segment_pattern(c.form, AttentionBackend::kAuto)
                        ->attend(x.q_BHLD, x.k_BGLD, x.v_BGLD, {});
  const auto got =
      make_training_pattern(attention, 16, 4)->attend(x.q_BHLD, x.k_BGLD, x.v_BGLD, {});
  CHECK_SAME(got, want);
}
