// Parity with the official LoCoCo code on the small run in tests/golden/ (its README.md says how it
// was made): the one comparison with the official code that needs no file outside the repository.
#include <filesystem>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/official_case.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

OfficialCase golden_case() {
  return read_official_case(std::filesystem::path(LOCOCO_SOURCE_DIR) / "tests" / "golden" /
                            "lococo-small.json");
}

}  // namespace

TEST_CASE("the golden official run is reproduced with the reference attention", "[golden]") {
  check_official_case(golden_case(), AttentionBackend::kReference);
}

TEST_CASE("the golden official run is reproduced with the flash attention", "[golden]") {
  check_official_case(golden_case(), AttentionBackend::kFlash);
}

TEST_CASE("the golden run covers a compressed cache in every layer", "[golden]") {
  const auto official = golden_case();
  const int64_t blocks = official.tensors.at("input_ids").size(1) / official.cache.block;
  for (int64_t block = 0; block < blocks; ++block) {
    CHECK(official.tensors.contains("block" + std::to_string(block) + ".loss"));
  }
  for (int64_t layer = 0; layer < official.shape.num_layers; ++layer) {
    const auto prefix =
        "block" + std::to_string(blocks - 1) + ".layer" + std::to_string(layer) + ".";
    INFO(prefix);
    CHECK(official.tensors.at(prefix + "keys").size(2) ==
          official.cache.slots + official.cache.block);
    CHECK(official.tensors.at(prefix + "values").size(2) ==
          official.cache.slots + official.cache.block);
    CHECK(official.tensors.at(prefix + "hh_scores").size(2) ==
          official.cache.slots + official.cache.block);
  }
}
