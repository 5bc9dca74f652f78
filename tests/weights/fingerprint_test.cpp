#include "weights/fingerprint.h"

#include "core/files.h"
#include "tensor/kit/safetensors_tensor.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"

namespace lococo::testing {

// Adapters and checkpoints carry these values: another one would part them from their base.
TEST_CASE("Fingerprints are what they were when the first checkpoints were written", "[model]") {
  TemporaryFolder folder;
  write_tensors(folder / "model.safetensors",
                {{"b", torch::arange(6, torch::kFloat32).view({2, 3})},
                 {"a", torch::arange(4, torch::kFloat32).to(torch::kBFloat16)}});
  CHECK(fingerprint_of_base(folder.path()) == "032ff4f2853b252a");
  CHECK(fingerprint_of_random_base(tiny_shape(), 1) == "random-77925f854a31f599");
  write_text_file(folder / "text", "LoCoCo\n");
  CHECK(checksum_of_file(folder / "text") == "ce1e0c24254771f2");
}

}  // namespace lococo::testing
