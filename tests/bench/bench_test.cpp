#include <filesystem>
#include <nlohmann/json.hpp>

#include "bench/attention_timing.h"
#include "bench/hardware_limit.h"
#include "bench/library_conv.h"
#include "bench/run_benchmark.h"
#include "bench/timing.h"
#include "config/config_yaml.h"
#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_run.h"
#include "tests/support/user_error.h"

using namespace lococo;
using lococo::testing::TemporaryFolder;
using lococo::testing::tiny_cache;
using lococo::testing::tiny_shape;
using lococo::testing::user_error_of;

namespace {

using Json = nlohmann::json;

Config tiny_config(const TemporaryFolder& folder) {
  Config config = lococo::testing::tiny_run_config(folder / ".");
  config.data.context_length = 40;
  config.distributed.threads = 1;
  config.log.level = "error";
  config.bench.batch = {1, 2};
  config.bench.contexts = {16, 40};
  config.bench.new_tokens = 5;
  config.bench.output = folder / "bench.json";
  return config;
}

Json run(const std::string& name, const Config& config) {
  CHECK(run_benchmark(name, config) == 0);
  return Json::parse(read_text_file(config.bench.output));
}

double value(const Json& measured, const std::string& figure) {
  INFO(measured.dump(1));
  REQUIRE(measured["figures"].contains(figure));
  return measured["figures"][figure]["value"].get<double>();
}

}  // namespace

TEST_CASE("quartiles are interpolated", "[bench]") {
  const Spread spread = spread_of({4.0, 1.0, 3.0, 2.0});
  CHECK(spread.median == 2.5);
  CHECK(spread.least == 1.0);
  CHECK(spread.most == 4.0);
  CHECK(spread.lower_quartile == 1.75);
  CHECK(spread.upper_quartile == 3.25);
  CHECK(spread.samples == 4);
  CHECK(scaled(spread, 1e3).upper_quartile == 3250.0);
  CHECK(spread_of({7.0}).lower_quartile == 7.0);
}

TEST_CASE("warm-up calls are made and not timed", "[bench]") {
  int calls = 0;
  CHECK(time_each(torch::kCPU, 2, 3, [&] { ++calls; }).size() == 3);
  CHECK(calls == 5);
}

TEST_CASE("operations are counted as the arithmetic says", "[bench]") {
  CHECK(ConvSize{2, 3, 5, 7, 11}.flops() == 2.0 * 2 * 3 * 5 * 7 * 11);
  // Two queries see 2 and 3 of 3 keys: five pairs, two products of D multiply-adds each.
  CHECK(AttentionSize{1, 4, 2, 2, 3, 8}.flops() == 4.0 * 4 * 8 * 5);
}

TEST_CASE("the limit counts what the trained set needs", "[bench]") {
  torch::set_num_threads(1);
  const ModelShape shape = tiny_shape();
  LimitWork work;
  work.step = {16, 24, /*cached=*/16, /*slots=*/8, /*compress=*/true, false};
  work.conv_trained = true;
  const auto limit = measure_hardware_limit(shape, tiny_cache(), work);
  // 8 tokens; q and o 32 x 32, k and v 32 x 16, gate, up and down 32 x 48; forward and gradient.
  CHECK(limit.gemm_flops == 2.0 * 8 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48) * 2);
  // 2 heads, 16 to 4 channels, 3 taps, the 12 of 16 slots that are not kept; forward and gradient.
  CHECK(limit.conv_flops == 2.0 * 2 * 12 * 16 * 4 * 3 * 2);
  CHECK(limit.attention_seconds > 0);
  CHECK(limit.head_seconds > 0);
  CHECK(limit.total() ==
        Approx(2 * (limit.gemm_seconds + limit.attention_seconds + limit.conv_seconds) +
               limit.head_seconds));
  CHECK(limit.total_with_conv_at_gemm_rate() ==
        Approx(limit.total() - 2 * (limit.conv_seconds - limit.conv_flops / limit.gemm_rate())));

  LimitWork full;
  full.step = {0, 24};
  full.base_trained = true;
  const auto without_conv = measure_hardware_limit(shape, CacheConfig{}, full);
  CHECK(without_conv.conv_seconds == 0.0);
  CHECK(without_conv.gemm_flops == 3 * 1.5 * limit.gemm_flops);
}

TEST_CASE("train-step reports times that agree with each other", "[bench]") {
  const TemporaryFolder folder;
  Config config = tiny_config(folder);
  config.bench.trace = folder / "trace.json";
  const Json report = run("train-step", config);
  CHECK(report["benchmark"] == "train-step");
  CHECK(report["device"] == "cpu");
  CHECK(parse_config(report["config"], "x").cache.slots == 8);
  REQUIRE(report["cases"].size() == 2);
  for (const Json& measured : report["cases"]) {
    const auto batch = measured["batch"].get<double>();
    const double block = value(measured, "block, forward and backward");
    CHECK(value(measured, "tokens per second") == Approx(batch * 40 / (5 * block / 1e3)));
    CHECK(value(measured, "share of the limit") == Approx(100 * value(measured, "limit") / block));
    CHECK(value(measured, "optimizer step") > 0);
    CHECK(measured["figures"]["optimizer step"]["samples"] == config.bench.repeat);
    CHECK(value(measured, "peak memory") > value(measured, "peak memory without optimizer state"));
    CHECK(value(measured, "machine: square GEMM") > 0);
    CHECK_FALSE(measured.contains("failure"));
  }
  REQUIRE(report["traces"].size() == 1);
  CHECK(report["traces"][0]["kernels"].size() > 10);
  CHECK(Json::parse(read_text_file(config.bench.trace)).contains("traceEvents"));
}

TEST_CASE("train-step measures teaching for every number of slots", "[bench]") {
  const TemporaryFolder folder;
  Config config = tiny_config(folder);
  config.cache = lococo::testing::taught_memory(12, 6, 0.5);
  config.teach.slots = {8, 12};
  config.tune = TuneConfig{};
  config.tune.retention = 1e-3;
  config.bench.limit = false;
  config.bench.batch = {2};
  const Json report = run("train-step", config);
  REQUIRE(report["cases"].size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    CHECK(report["cases"][i]["slots"] == config.teach.slots[i]);
    CHECK(value(report["cases"][i], "tokens per second") > 0);
  }
}

TEST_CASE("train-step measures a full sequence, with no limit where none is asked for", "[bench]") {
  const TemporaryFolder folder;
  Config config = tiny_config(folder);
  config.cache = CacheConfig{};
  config.tune = TuneConfig{};
  config.tune.all = 1e-3;
  config.bench.limit = false;
  const Json report = run("train-step", config);
  const Json& measured = report["cases"][0];
  CHECK(value(measured, "tokens per second") ==
        Approx(40 / (value(measured, "sequence, forward and backward") / 1e3)));
  CHECK_FALSE(measured["figures"].contains("limit"));
  config.tune = TuneConfig{};
  CHECK_CONTAINS(user_error_of([&] { run_benchmark("train-step", config); }),
                 "tune: nothing is trained");
}

TEST_CASE("prefill and decode report every batch and length", "[bench]") {
  const TemporaryFolder folder;
  const Config config = tiny_config(folder);
  const Json prefill = run("prefill", config);
  REQUIRE(prefill["cases"].size() == 4);
  const Json& prompt = prefill["cases"][3];
  CHECK(prompt["batch"] == 2);
  CHECK(prompt["tokens"] == 40);
  CHECK(value(prompt, "prefill") == Approx(5 * value(prompt, "prefill of a block")));
  const Json decode = run("decode", config);
  REQUIRE(decode["cases"].size() == 4);
  const Json& tokens = decode["cases"][3];
  CHECK(value(tokens, "decoding, tokens per second") ==
        Approx(2e3 / value(tokens, "decoding of a token")));
  CHECK(value(tokens, "limit: weights and cache read once") > 0);
}

TEST_CASE("decode without a cache policy has room for prompt and answer", "[bench]") {
  const TemporaryFolder folder;
  Config config = tiny_config(folder);
  config.cache = CacheConfig{};
  config.tune = TuneConfig{};
  CHECK(run("decode", config)["cases"].size() == 4);
}

TEST_CASE("attention reports its backends and the column mass of a block", "[bench]") {
  const TemporaryFolder folder;
  const Json report = run("attention", tiny_config(folder));
  REQUIRE(report["cases"].size() == 6);
  const Json& block = report["cases"][0];
  CHECK(block["queries"] == 8);
  CHECK(block["keys"] == 16);
  CHECK(value(block, "column mass") > 0);
  for (const std::string name : {"auto", "reference", "flash"}) {
    CHECK(value(block, name + ", forward") > 0);
    CHECK(value(block, name + ", forward and backward") > 0);
    CHECK(value(block, name + ", forward rate") ==
          Approx(4.0 * 4 * 8 * (8 * 8 + 36) / value(block, name + ", forward") / 1e9));
  }
  CHECK(report["cases"][2]["keys"] == 40);
  CHECK_FALSE(report["cases"][2]["figures"].contains("column mass"));
}

TEST_CASE("conv compares the library's convolution with the project's", "[bench]") {
  const TemporaryFolder folder;
  Config config = tiny_config(folder);
  const Json report = run("conv", config);
  const Json& measured = report["cases"][1];
  CHECK(measured["sequences"] == 4);
  CHECK(measured["in"] == 16);
  CHECK(measured["out"] == 4);
  CHECK(measured["time"] == 12);
  CHECK(value(measured, "library, forward") > 0);
  CHECK(value(measured, "library, weight gradient") > 0);
  CHECK(value(measured, "library, forward rate") ==
        Approx(2.0 * 4 * 12 * 16 * 4 * 3 / value(measured, "library, forward") / 1e9));
  CHECK(value(measured, "project, by the library, forward") > 0);
  config.cache.policy = CachePolicyKind::kH2o;
  CHECK_CONTAINS(user_error_of([&] { run_benchmark("conv", config); }), "cache.policy: only");
}

TEST_CASE("data reads the loader's speed", "[bench]") {
  const TemporaryFolder folder;
  Config config = tiny_config(folder);
  const Json report = run("data", config);
  CHECK(value(report["cases"][0], "loader, tokens per second") > 0);
  config.data.train.clear();
  CHECK_CONTAINS(user_error_of([&] { run_benchmark("data", config); }), "data.train: name");
}

TEST_CASE("memory reports a peak for every length", "[bench]") {
  const TemporaryFolder folder;
  const Json report = run("memory", tiny_config(folder));
  REQUIRE(report["cases"].size() == 4);
  for (const Json& measured : report["cases"]) CHECK(value(measured, "peak memory") > 0);
}

TEST_CASE("scaling without a launcher measures one rank alone", "[bench]") {
  const TemporaryFolder folder;
  Config config = tiny_config(folder);
  const Json report = run("scaling", config);
  REQUIRE(report["cases"].size() == config.bench.batch.size());
  for (const Json& measured : report["cases"]) {
    CHECK(measured["replicas"] == 1);
    CHECK(measured["sequences"].get<int64_t>() <= 2);
    CHECK(measured["stages"] == 1);
    CHECK(value(measured, "tokens per second") > 0);
    CHECK(value(measured, "peak memory") > 0);
    CHECK_FALSE(measured["figures"].contains("collectives"));
  }
}

TEST_CASE("a benchmark that is not there is the user's mistake", "[bench]") {
  CHECK_CONTAINS(
      user_error_of([] { run_benchmark("trainstep", Config{}); }),
      "\"trainstep\" is not a benchmark; use one of train-step, patterns, scaling, prefill");
  for (const std::string& name : benchmark_names())
    CHECK_CONTAINS(benchmark_list(), "  " + name + " ");
}
