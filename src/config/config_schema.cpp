#include "config/config_schema.h"

#include <stdexcept>
#include <utility>

#include "config/config_schema_builder.h"
#include "config/config_schema_model.h"
#include "config/config_schema_run.h"

namespace lococo {

std::vector<Field> config_fields(Config& config) {
  SchemaBuilder add;
  add_model_sections(add, config);
  add_run_sections(add, config);
  return add.take();
}

std::string section_doc(const std::string& section) {
  static const std::vector<std::pair<std::string, std::string>> kDocs = {
      {"model", "the base model"},
      {"model.init",
       "shape of a model with random weights, used when model.path is empty (names as in Hugging "
       "Face's config.json)"},
      {"data", "what to train and evaluate on"},
      {"attention", "how attention is computed"},
      {"cache",
       "what survives from one block of tokens to the next; the defaults are the official LoCoCo "
       "code's behaviour"},
      {"tune",
       "learning rate of each group of weights; null or 0: not trained, every other weight stays "
       "bit-identical"},
      {"train", "lococo-train"},
      {"checkpoint", "checkpoints of lococo-train"},
      {"teach", "teaching of a learned memory (train.pass teach, docs/memory.md)"},
      {"log", "messages and metrics"},
      {"distributed", "ranks and devices"},
      {"eval", "lococo-eval"},
      {"export", "lococo-export"},
      {"generate", "lococo-generate"},
      {"bench", "lococo-bench"},
  };
  for (const auto& [name, doc] : kDocs) {
    if (name == section) return doc;
  }
  throw std::logic_error("config: section " + section + " has no description");
}

}  // namespace lococo
