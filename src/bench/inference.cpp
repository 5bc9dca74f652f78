#include "bench/inference.h"

#include <algorithm>

#include "bench/hardware_limit.h"
#include "bench/timing.h"
#include "bench/trace.h"
#include "core/units.h"
#include "decode/decoder.h"
#include "model/parameter_kind.h"
#include "setup/model_setup.h"
#include "tensor/kit/memory_stats.h"

namespace lococo {
namespace {

constexpr int64_t kTracedTokens = 8;

/// The model with every weight in model.dtype, as for generating.
Llama inference_model(const Config& config, torch::Device device) {
  Config frozen = config;
  frozen.tune = TuneConfig{};
  return prepare_model(frozen, device).model;
}

DecoderOptions options_for(const Config& config, int64_t B, int64_t prompt) {
  DecoderOptions options;
  options.batch = B;
  options.decode_buffer = config.generate.decode_buffer;
  options.cuda_graphs = config.train.cuda_graphs;
  options.max_tokens = prompt + kTracedTokens +
                       (config.bench.warmup + config.bench.repeat) * config.bench.new_tokens;
  return options;
}

torch::Tensor random_prompt(const Llama& model, int64_t B, int64_t T, torch::Device device) {
  return torch::randint(model->shape().vocab_size, {B, T},
                        torch::dtype(torch::kInt64).device(device));
}

BenchCase measure_prefill(const Config& config, Llama& model, torch::Device device, int64_t B,
                          int64_t T) {
  BenchCase measured;
  measured.parameters = {{"batch", B}, {"tokens", T}};
  Decoder decoder(model, options_for(config, B, T));
  const auto prompt_BT = random_prompt(model, B, T, device);
  const auto run = [&] { decoder.prefill(prompt_BT); };
  time_each(device, config.bench.warmup, /*repeat=*/0, run);
  wait_for(device);
  reset_peak(device);
  const auto seconds = spread_of(time_each(device, /*warmup=*/0, config.bench.repeat, run));
  const auto blocks = static_cast<double>(make_step_plan(config.cache, T).size());
  measured.add("prefill", "ms", scaled(seconds, 1e3));
  measured.add("prefill of a block", "ms", scaled(seconds, 1e3 / blocks));
  measured.add("prefill, tokens per second", "tokens/s",
               static_cast<double>(B * T) / seconds.median);
  measured.add("peak memory", "GiB", static_cast<double>(peak_memory_bytes(device)) / kGiB);
  return measured;
}

/// Greedy decoding, whose next token never leaves the device.
class Decoding {
 public:
  Decoding(const Config& config, Llama& model, torch::Device device, int64_t B, int64_t T)
      : decoder_(model, options_for(config, B, T)) {
    take(decoder_.prefill(random_prompt(model, B, T, device)));
  }
  void run(int64_t tokens) {
    for (int64_t i = 0; i < tokens; ++i) take(decoder_.step(next_B_));
  }
  int64_t slots() const { return decoder_.row(0).size; }

 private:
  void take(const torch::Tensor& logits_BV) { next_B_ = logits_BV.argmax(/*dim=*/-1); }

  Decoder decoder_;
  torch::Tensor next_B_;
};

/// Bytes that one token cannot do without: every weight but the rows of the embedding that are not
/// looked up and the convolutions, and the keys and values of the cache.
double bytes_of_a_token(const Llama& model, int64_t B, int64_t slots) {
  double bytes = 0;
  const auto& quantised = model->quantised_layers();
  for (const auto& item : model->named_parameters()) {
    const ParameterKind kind = kind_of_parameter(item.key());
    const bool looked_up = kind == ParameterKind::kEmbedding && !model->shape().tie_word_embeddings;
    if (looked_up || is_of_policy(kind)) continue;
    const auto layer = quantised.find(item.key());
    bytes += layer != quantised.end() ? static_cast<double>(layer->second->weight_bytes())
                                      : static_cast<double>(item.value().nbytes());
  }
  const ModelShape& shape = model->shape();
  const auto element = static_cast<double>(c10::elementSize(model->compute_dtype()));
  return bytes + element * 2 * static_cast<double>(B * slots * shape.num_layers) *
                     static_cast<double>(shape.num_kv_heads * shape.head_dim);
}

BenchCase measure_decode(const Config& config, Llama& model, torch::Device device, int64_t B,
                         int64_t T, double copy_bytes_per_second) {
  BenchCase measured;
  measured.parameters = {{"batch", B}, {"prompt", T}, {"new_tokens", config.bench.new_tokens}};
  Decoding decoding(config, model, device, B, T);
  const auto run = [&] { decoding.run(config.bench.new_tokens); };
  time_each(device, config.bench.warmup, /*repeat=*/0, run);
  wait_for(device);
  reset_peak(device);
  const auto seconds = spread_of(time_each(device, /*warmup=*/0, config.bench.repeat, run));
  const auto tokens = static_cast<double>(config.bench.new_tokens);
  const double limit = bytes_of_a_token(model, B, decoding.slots()) / copy_bytes_per_second;
  measured.add("decoding of a token", "ms", scaled(seconds, 1e3 / tokens));
  measured.add("decoding, tokens per second", "tokens/s",
               static_cast<double>(B) * tokens / seconds.median);
  measured.add("limit: weights and cache read once", "ms", limit * 1e3);
  measured.add("share of the limit", "%", 100 * limit * tokens / seconds.median);
  measured.add("machine: copy", "TB/s", copy_bytes_per_second / 1e12);
  measured.add("peak memory", "GiB", static_cast<double>(peak_memory_bytes(device)) / kGiB);
  return measured;
}

std::string trace_of(const std::string& what, int64_t B, int64_t T) {
  return what + " a prompt of " + std::to_string(T) + ", batch " + std::to_string(B);
}

}  // namespace

void bench_prefill(const Config& config, torch::Device device, Report& report) {
  auto model = inference_model(config, device);
  for (const int64_t B : config.bench.batch) {
    for (const int64_t T : config.bench.contexts)
      report.add(measure_prefill(config, model, device, B, T));
  }
  if (config.bench.trace.empty()) return;
  const int64_t B = config.bench.batch.front(), T = config.bench.contexts.front();
  Decoder decoder(model, options_for(config, B, T));
  const auto prompt_BT = random_prompt(model, B, T, device);
  decoder.prefill(prompt_BT);  // the second prompt records, the traced third one replays
  report.add(record_trace(device, config.bench.trace, trace_of("prefill,", B, T),
                          [&] { decoder.prefill(prompt_BT); }));
}

void bench_decode(const Config& config, torch::Device device, Report& report) {
  auto model = inference_model(config, device);
  const auto rates = measure_machine_rates(torch::dtype(model->compute_dtype()).device(device));
  for (const int64_t B : config.bench.batch) {
    for (const int64_t T : config.bench.contexts)
      report.add(measure_decode(config, model, device, B, T, rates.copy_bytes_per_second));
  }
  if (config.bench.trace.empty()) return;
  const int64_t B = config.bench.batch.front(), T = config.bench.contexts.front();
  Decoding decoding(config, model, device, B, T);
  report.add(record_trace(device, config.bench.trace,
                          trace_of(std::to_string(kTracedTokens / 2) + " tokens after", B, T),
                          [&] { decoding.run(kTracedTokens / 2); }));
}

}  // namespace lococo
