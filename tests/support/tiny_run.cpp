#include "tests/support/tiny_run.h"

#include "core/files.h"
#include "core/log.h"
#include "data/prepare.h"
#include "data/token_file.h"
#include "data/token_file_writer.h"
#include "lessons/open_lessons.h"
#include "tests/support/made_novel.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_tokenizer.h"

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

Config tiny_lesson_config(const std::string& folder) {
  Config config = tiny_run_config(folder);
  write_byte_tokenizer(folder + "/tokenizer.model");
  write_text_file(folder + "/novel.txt", made_novel(3000));
  config.cache = CacheConfig();
  config.model.init.vocab_size = kByteVocabulary;
  config.tune = TuneConfig();
  config.tune.all = 1e-3;
  config.data.tokenizer = folder + "/tokenizer.model";
  config.data.train = {{folder + "/novel.txt", 1.0}};
  config.data.context_length = 2400;
  config.data.lesson_share = 0.5;
  config.train.steps = 2;
  return config;
}

TinyRun::TinyRun(const Config& config) {
  configure_log(LogLevel::kError, /*is_main_rank=*/true);
  communicator = make_communicator(config.distributed, torch::kCPU);
  auto prepared = prepare_model(config, torch::kCPU);
  model = prepared.model;
  const std::shared_ptr<const Tokenizer> tokenizer = open_tokenizer(config.data, config.model.path);
  auto dataset =
      open_dataset(config.data.train, config.data, tokenizer.get(), model->shape().vocab_size);
  TrainingSequences sequences(config, std::move(dataset), open_lessons(config, tokenizer));
  trainer =
      std::make_unique<Trainer>(config, std::move(prepared), std::move(sequences),
                                /*evaluator=*/nullptr, torch::kCPU, *communicator, /*threads=*/1);
}

}  // namespace lococo::testing
