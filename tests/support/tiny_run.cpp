#include "tests/support/tiny_run.h"

#include "core/log.h"
#include "data/prepare.h"
#include "data/token_file.h"
#include "data/token_file_writer.h"
#include "tests/support/tiny_llama.h"

namespace lococo::testing {

std::string write_tokens(const std::string& path,
                         const std::vector<std::vector<int32_t>>& documents) {
  TokenFileInfo info;
  info.vocab_size = tiny_shape().vocab_size;
  TokenFileWriter writer(path, info);
  for (size_t i = 0; i < documents.size(); ++i) {
    writer.add_document("document " + std::to_string(i), documents[i]);
  }
  writer.finish();
  return path;
}

std::vector<int32_t> random_document(int64_t length, uint64_t seed) {
  const auto tokens = random_tokens(1, length, seed).to(torch::kInt32).contiguous();
  return {tokens.const_data_ptr<int32_t>(), tokens.const_data_ptr<int32_t>() + length};
}

Config tiny_run_config(const std::string& folder) {
  Config config;
  config.model.init = tiny_shape();
  config.model.init_std = 0.1;
  config.cache = tiny_cache();
  config.tune.conv = 1e-2;
  config.data.train = {{write_tokens(folder + "/train.tokens", {random_document(700, 1)}), 1.0}};
  config.data.context_length = 33;
  config.train.steps = 4;
  config.train.sequences_per_step = 4;
  config.train.output = folder + "/run";
  config.log.tensorboard = false;
  config.distributed.backend = CommBackend::kSingle;
  config.distributed.device = "cpu";
  return config;
}

TinyRun::TinyRun(const Config& config) {
  configure_log(LogLevel::kError, /*is_main_rank=*/true);
  communicator = make_communicator(config.distributed, torch::kCPU);
  auto prepared = prepare_model(config, torch::kCPU);
  model = prepared.model;
  auto dataset = open_dataset(config.data.train, config.data, /*tokenizer=*/nullptr,
                              model->shape().vocab_size);
  trainer =
      std::make_unique<Trainer>(config, std::move(prepared), std::move(dataset),
                                /*evaluator=*/nullptr, torch::kCPU, *communicator, /*threads=*/1);
}

}  // namespace lococo::testing
