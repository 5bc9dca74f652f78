#include "weights/conv_weights.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/user_error.h"

namespace lococo::testing {
namespace {

using Json = nlohmann::json;

/// As the official code has it: rotated keys and its fixed buffer.
CacheConfig official_cache() {
  CacheConfig cache = tiny_cache();
  cache.keys = KeyKind::kRotated;
  cache.buffer = 16;
  cache.block = 20;
  return cache;
}

struct SavedConv {
  explicit SavedConv(const CacheConfig& cache = tiny_cache(),
                     ConvConfigNames names = ConvConfigNames::kOurs)
      : model(tiny_llama(3, cache)) {
    perturb(model, "memory_saver", 0.2, 5);
    save_conv_weights(model, folder.path(), "0123456789abcdef", names);
  }
  std::string file() const { return folder / "lococo.safetensors"; }
  /// The line that a model of another cache gets.
  std::string load_error(const CacheConfig& cache) const {
    Llama other = tiny_llama(3, cache);
    const TensorMap before = snapshot(other);
    const std::string line = user_error_of([&] { load_conv_weights(other, folder.path()); });
    CHECK(same_bits(before, snapshot(other)));
    return line;
  }
  void check_loads(const CacheConfig& cache) {
    Llama other = tiny_llama(3, cache);
    REQUIRE_FALSE(same_bits(conv_parameters(model), conv_parameters(other)));
    load_conv_weights(other, folder.path());
    CHECK(same_bits(snapshot(model), snapshot(other)));
  }
  TemporaryFolder folder;
  Llama model;
};

}  // namespace

TEST_CASE("Conv weights under the official names give a bit-equal evaluation again", "[weights]") {
  const auto names = GENERATE(ConvConfigNames::kOurs, ConvConfigNames::kOfficial);
  const CacheConfig cache = official_cache();
  SavedConv saved(cache, names);
  for (const auto& [name, tensor] : read_tensors(saved.file())) {
    CHECK(name.rfind("model.layers.", 0) == 0);
    CHECK(name.find(".self_attn.memory_saver.") != std::string::npos);
  }
  Llama loaded = tiny_llama(3, cache);
  const auto tokens = random_tokens(2, 60, 9);
  const auto want = blockwise_hidden(saved.model, tokens);
  CHECK_FALSE(torch::equal(blockwise_hidden(loaded, tokens), want));  // the convs matter
  load_conv_weights(loaded, saved.folder.path());
  CHECK(torch::equal(blockwise_hidden(loaded, tokens), want));
  CHECK(base_fingerprint_of_conv(saved.folder.path()) == "0123456789abcdef");
}

TEST_CASE("The names are exactly those of the official code", "[weights]") {
  CacheConfig cache = tiny_cache();
  cache.conv_layers = 2;
  SavedConv saved(cache);
  const TensorMap tensors = read_tensors(saved.file());
  for (const std::string layer : {"0", "1"}) {
    const std::string prefix = "model.layers." + layer + ".self_attn.memory_saver.";
    for (const char* name :
         {"layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias", "normalizer"}) {
      CHECK(tensors.count(prefix + name) == 1);
    }
  }
  CHECK(tensors.size() == 10);
}

TEST_CASE("Training wrappers before a name are accepted", "[weights]") {
  const std::string prefix = GENERATE("module.", "base_model.model.", "module.base_model.model.");
  SavedConv saved;
  TensorMap renamed;
  for (const auto& [name, tensor] : read_tensors(saved.file())) renamed[prefix + name] = tensor;
  write_tensors(saved.file(), renamed);
  saved.check_loads(tiny_cache());
}

TEST_CASE("A whole official state dict without options is read for its conv modules", "[weights]") {
  SavedConv saved;
  TensorMap tensors = read_tensors(saved.file());
  tensors["model.norm.weight"] = torch::ones({32});
  write_tensors(saved.file(), tensors);
  SECTION("without options beside it") {
    std::filesystem::remove(saved.folder / "lococo_config.json");
    saved.check_loads(tiny_cache());
  }
  SECTION("in a folder of ours it is an error") {
    CHECK_CONTAINS(saved.load_error(tiny_cache()), "1 tensor unknown (model.norm.weight)");
  }
}

TEST_CASE("The option that differs is named", "[weights]") {
  SavedConv saved;
  const auto line_for = [&](auto change) {
    CacheConfig cache = tiny_cache();
    change(cache);
    return saved.load_error(cache);
  };
  CHECK_CONTAINS(line_for([](auto& c) { c.slots = 16; }), "cache.slots is 8 there and 16 here");
  CHECK_CONTAINS(line_for([](auto& c) { c.keep_fraction = 0.25; }), "cache.keep_fraction");
  CHECK_CONTAINS(line_for([](auto& c) { c.kernel_size = 5; }), "cache.kernel_size");
  CHECK_CONTAINS(line_for([](auto& c) { c.conv_layers = 2; }), "cache.conv_layers");
  CHECK_CONTAINS(line_for([](auto& c) { c.local = 1; }), "cache.local");
  CHECK_CONTAINS(line_for([](auto& c) { c.sinks = 1; }), "cache.sinks");
  CHECK_CONTAINS(line_for([](auto& c) { c.scores = ScoreKind::kAccumulated; }), "cache.scores");
  CHECK_CONTAINS(line_for([](auto& c) { c.keys = KeyKind::kRotated; }),
                 R"(cache.keys is "unrotated" there and "rotated" here)");
  CHECK_CONTAINS(line_for([](auto& c) { c.score_decay = 0.5; }),
                 "cache.score_decay is 1.0 there and 0.5 here");
  CHECK_CONTAINS(line_for([](auto& c) { c.score_distance = 1; }), "cache.score_distance");
  CHECK_CONTAINS(line_for([](auto& c) { c.normalizer_per_head = true; }), "normalizer_per_head");
  CHECK_CONTAINS(line_for([](auto& c) { c.mass_channel = true; }), "cache.mass_channel");
  CHECK_CONTAINS(line_for([](auto& c) { c.mix_keys = false; }), "cache.mix_keys");
}

TEST_CASE("Weights from before an option existed have its default", "[weights]") {
  SavedConv saved;
  const auto path = saved.folder / "lococo_config.json";
  Json options = Json::parse(read_text_file(path));
  REQUIRE(options.erase("score_decay") + options.erase("score_distance") +
              options.erase("mix_keys") ==
          3);
  std::ofstream(path) << options.dump();
  saved.check_loads(tiny_cache());
  CacheConfig cache = tiny_cache();
  cache.mix_keys = false;
  CHECK_CONTAINS(saved.load_error(cache), "cache.mix_keys is true there and false here");
  cache.score_decay = 0.5;
  CHECK_CONTAINS(saved.load_error(cache), "cache.score_decay is 1.0 there and 0.5 here");
}

TEST_CASE("Another block or buffer does not stop the loading", "[weights]") {
  SavedConv saved;
  CacheConfig cache = tiny_cache();
  cache.block = 4;
  cache.buffer = 4;
  saved.check_loads(cache);
}

TEST_CASE("Without options the shapes decide", "[weights]") {
  SavedConv saved;
  std::filesystem::remove(saved.folder / "lococo_config.json");
  CacheConfig cache = tiny_cache();
  cache.kernel_size = 5;
  const std::string line = saved.load_error(cache);
  CHECK_CONTAINS(line, "2 tensors of another shape");
  CHECK_CONTAINS(line, "kernel_size");
  cache = tiny_cache();
  cache.mass_channel = true;
  CHECK_CONTAINS(saved.load_error(cache), "mass_channel");
  TensorMap tensors = read_tensors(saved.file());
  tensors.erase("model.layers.1.self_attn.memory_saver.normalizer");
  write_tensors(saved.file(), tensors);
  CHECK_CONTAINS(saved.load_error(tiny_cache()),
                 "1 tensor missing (model.layers.1.self_attn.memory_saver.normalizer)");
}

TEST_CASE("Gates that were taught alone may get convolutions, which begin anew", "[weights]") {
  const CacheConfig alone = taught_memory(/*slots=*/8, /*block=*/8, /*alone_fraction=*/0.5);
  CacheConfig mixing = alone;
  mixing.mixing = MixingKind::kConv;
  mixing.slots = 12;  // gates serve any number
  SavedConv gates(alone);
  Llama loaded = tiny_llama(3, mixing);
  const TensorMap drawn = snapshot(loaded), taught = snapshot(gates.model);
  load_conv_weights(loaded, gates.folder.path());
  for (const auto& [name, tensor] : conv_parameters(loaded)) {
    INFO(name);
    CHECK_SAME(tensor, taught.count(name) > 0 ? taught.at(name) : drawn.at(name));
  }

  SavedConv both(mixing);
  both.check_loads(mixing);
  mixing.slots = 9;
  CHECK_CONTAINS(both.load_error(mixing), "cache.slots is 12 there and 9 here");

  // And without convolutions the gates are what they were taught to be.
  Llama plain = tiny_llama(3, alone);
  load_conv_weights(plain, both.folder.path());
  const TensorMap saved = snapshot(both.model);
  for (const auto& [name, tensor] : conv_parameters(plain)) CHECK_SAME(tensor, saved.at(name));
}

TEST_CASE("What a cache has learned is called by its name", "[weights]") {
  SavedConv saved;
  CHECK(learned_parts_in(saved.folder.path()) == "convolutions");
  CacheConfig gates;
  gates.policy = CachePolicyKind::kRetention;
  CHECK(learned_parts(gates) == "gates");
  gates.mixing = MixingKind::kConv;
  CHECK(learned_parts(gates) == "gates and convolutions");
  CHECK(learned_parts(tiny_cache()) == "convolutions");
  CHECK(learned_parts({}).empty());
  TemporaryFolder other;
  write_tensors(other / "lococo.safetensors", {{"classifier.weight", torch::zeros({2})}}, {});
  CHECK_CONTAINS(
      user_error_of([&] { learned_parts_in(other.path()); }),
      other / "lococo.safetensors" + ": holds neither gates nor convolutions of a cache");
}

TEST_CASE("A model without convolutions and gates neither writes nor reads them", "[weights]") {
  SavedConv saved;
  CacheConfig cache = tiny_cache();
  cache.policy = CachePolicyKind::kH2o;
  Llama model = tiny_llama(3, cache);
  CHECK_THROWS_AS(load_conv_weights(model, saved.folder.path()), c10::Error);
  TemporaryFolder folder;
  CHECK_THROWS_AS(save_conv_weights(model, folder.path(), ""), c10::Error);
  CHECK_FALSE(has_conv_weights(folder.path()));
}

TEST_CASE("The official arguments mean the same options, both ways", "[weights]") {
  CacheConfig cache = official_cache();
  cache.local = 2;
  SavedConv saved(cache, ConvConfigNames::kOfficial);
  const Json arguments = Json::parse(read_text_file(saved.folder / "lococo_args.json"));
  CHECK(arguments["method"] == "conv");
  CHECK(arguments["mem_size"] == 8);
  CHECK(arguments["block_size"] == 20);
  CHECK(arguments["hh_keep_rate"] == 0.5);
  CHECK(arguments["n_convlayer"] == 1);
  CHECK(arguments["kernel_size"] == 3);
  CHECK(arguments["local_len"] == 2);
  saved.check_loads(cache);
  cache.local = 0;
  CHECK_CONTAINS(saved.load_error(cache), "cache.local is 2 there and 0 here");
  cache.local = 2;
  cache.keys = KeyKind::kUnrotated;
  CHECK_CONTAINS(saved.load_error(cache), "cache.keys");
  cache.keys = KeyKind::kRotated;
  cache.normalizer_per_head = true;
  CHECK_CONTAINS(saved.load_error(cache), "cache.normalizer_per_head is false there");
}

TEST_CASE("Options that the official code lacks cannot be written in its names", "[weights]") {
  const auto line_for = [](auto change) {
    CacheConfig cache = official_cache();
    change(cache);
    Llama model = tiny_llama(3, cache);
    TemporaryFolder folder;
    const std::string line = user_error_of(
        [&] { save_conv_weights(model, folder.path(), "", ConvConfigNames::kOfficial); });
    CHECK(std::filesystem::is_empty(folder.path()));
    return line;
  };
  CHECK_CONTAINS(line_for([](auto& c) { c.keys = KeyKind::kUnrotated; }), "cache.keys");
  CHECK_CONTAINS(line_for([](auto& c) { c.sinks = 1; }), "cache.sinks");
  CHECK_CONTAINS(line_for([](auto& c) { c.scores = ScoreKind::kAccumulated; }), "cache.scores");
  CHECK_CONTAINS(line_for([](auto& c) { c.buffer = 0; }), "cache.buffer");
  CHECK_CONTAINS(line_for([](auto& c) { c.score_distance = 1; }), "cache.score_distance");
  CHECK_CONTAINS(line_for([](auto& c) { c.normalizer_per_head = true; }), "normalizer_per_head");
  CHECK_CONTAINS(line_for([](auto& c) { c.mass_channel = true; }), "cache.mass_channel");
  CHECK_CONTAINS(line_for([](auto& c) { c.mix_keys = false; }), "cache.mix_keys");
}

}  // namespace lococo::testing
