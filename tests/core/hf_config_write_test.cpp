#include "core/hf_config_write.h"

#include <nlohmann/json.hpp>
#include <string>

#include "core/hf_config.h"
#include "tests/core/small_hf_config.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;
using Json = nlohmann::json;

namespace {

ModelShape shape_with_rope(RopeType type, double factor) {
  ModelShape shape = parse(small_config());
  shape.num_kv_heads = 2;
  shape.rope_theta = 50000.0;
  shape.rope_scaling.type = type;
  shape.rope_scaling.factor = factor;
  return shape;
}

}  // namespace

TEST_CASE("a written config.json reads back in either spelling alone", "[core][hf_config]") {
  for (const RopeType type : {RopeType::kDefault, RopeType::kLinear, RopeType::kDynamic,
                              RopeType::kYarn, RopeType::kLlama3}) {
    INFO(name_of(type));
    ModelShape shape = shape_with_rope(type, type == RopeType::kDefault ? 1.0 : 4.0);
    if (type == RopeType::kYarn || type == RopeType::kLlama3) {  // as for a model made so
      shape.max_position_embeddings = 1024;
      shape.rope_scaling.original_max_position_embeddings = 256;
    }
    if (type == RopeType::kYarn) shape.rope_scaling.attention_factor = 1.25;
    if (type == RopeType::kYarn) shape.rope_scaling.beta_fast = 24.0;
    if (type == RopeType::kLlama3) shape.rope_scaling.high_freq_factor = 6.0;
    shape.tie_word_embeddings = true;
    shape.bos_token_id = -1;
    shape.eos_token_ids = {3, 4};
    Json written = Json::parse(hf_config_to_json(shape, "bfloat16"));
    CHECK(written["dtype"] == "bfloat16");
    CHECK(written["torch_dtype"] == "bfloat16");
    check_same(parse(written), shape);
    Json only_old = written;
    only_old.erase("rope_parameters");
    check_same(parse(only_old), shape);
    Json only_new = written;
    only_new.erase("rope_scaling");
    only_new.erase("rope_theta");
    check_same(parse(only_new), shape);
  }
}

TEST_CASE("linear and dynamic scaling are written as old releases demand", "[core][hf_config]") {
  for (const RopeType type : {RopeType::kLinear, RopeType::kDynamic}) {
    const ModelShape shape = shape_with_rope(type, 8.0);
    const Json json = Json::parse(hf_config_to_json(shape, "float32"));
    // They accept exactly two keys, and a factor only as a float above 1.
    CHECK(json["rope_scaling"] == Json{{"type", name_of(type)}, {"factor", 8.0}});
    CHECK(json["rope_scaling"]["factor"].is_number_float());
    CHECK(json["rope_theta"] == 50000.0);
    CHECK(json["rope_parameters"]["rope_theta"] == 50000.0);
    const Json unscaled = Json::parse(hf_config_to_json(shape_with_rope(type, 1.0), "float32"));
    CHECK(unscaled["rope_scaling"].is_null());
    CHECK(unscaled["rope_parameters"]["rope_type"] == "default");
  }
}

TEST_CASE("the pretrained length of dynamic scaling goes where transformers looks for it",
          "[core][hf_config]") {
  ModelShape shape = shape_with_rope(RopeType::kDynamic, 4.0);
  shape.max_position_embeddings = 1024;
  shape.rope_scaling.original_max_position_embeddings = 256;
  CHECK(Json::parse(hf_config_to_json(shape, "float32"))["max_position_embeddings"] == 256);
  shape.rope_scaling.type = RopeType::kYarn;
  const Json yarn = Json::parse(hf_config_to_json(shape, "float32"));
  CHECK(yarn["max_position_embeddings"] == 1024);
  CHECK(yarn["rope_scaling"]["original_max_position_embeddings"] == 256);
}

TEST_CASE("a model that was made longer by yarn or llama3 says how long it is",
          "[core][hf_config]") {
  const auto written = [](RopeType type, int64_t original) {
    ModelShape shape = shape_with_rope(type, 4.0);
    shape.rope_scaling.original_max_position_embeddings = original;
    return Json::parse(hf_config_to_json(shape, "float32"));
  };
  for (const RopeType type : {RopeType::kYarn, RopeType::kLlama3}) {
    for (const int64_t original : {0, 256}) {
      const Json json = written(type, original);
      CHECK(json["max_position_embeddings"] == 1024);
      CHECK(json["rope_scaling"]["original_max_position_embeddings"] == 256);
      CHECK(positions_of(parse(json)) == 1024);
    }
  }
  // There the factor is applied by who reads it.
  const Json linear = written(RopeType::kLinear, 0);
  CHECK(linear["max_position_embeddings"] == 256);
  CHECK(positions_of(parse(linear)) == 1024);
}

TEST_CASE("config.json is read from and written to a folder", "[core][hf_config]") {
  const TemporaryFolder folder;
  CHECK_CONTAINS(user_error_of([&] { read_hf_config(folder.path()); }),
                 folder / "config.json" + ": is missing");
  const ModelShape shape = shape_with_rope(RopeType::kLinear, 4.0);
  write_hf_config(folder.path(), shape, "float32");
  check_same(read_hf_config(folder.path()), shape);
}
