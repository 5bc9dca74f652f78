#include "setup/generation_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_file.h"
#include "records/open_records.h"
#include "setup/session.h"
#include "setup/taught_template.h"

namespace lococo {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

std::string with_end_tokens(const std::string& text, const std::vector<int64_t>& ids,
                            int64_t bos_id, const std::string& name) {
  const bool is_new = text.empty();
  if (!is_new && !parse_json(text, name).is_object())
    throw UserError(name + ": is not a JSON object");
  Json json = is_new ? Json::object() : Json::parse(text);
  if (is_new && bos_id >= 0) json["bos_token_id"] = bos_id;
  Json list = json.contains("eos_token_id") ? json["eos_token_id"] : Json::array();
  if (list.is_null()) list = Json::array();
  if (!list.is_array()) list = Json::array({list});
  for (const int64_t id : ids) {
    if (std::find(list.begin(), list.end(), Json(id)) == list.end()) list.push_back(id);
  }
  json["eos_token_id"] = list.size() == 1 ? list.front() : list;
  return json.dump(2) + "\n";
}

std::optional<std::string> generation_config_of_records(const Config& config,
                                                        const std::string& text,
                                                        int64_t vocab_size) {
  const auto of_run = config_of_records(config);
  if (!of_run) return std::nullopt;
  const auto tokenizer = open_tokenizer(*of_run, vocab_size);
  if (!tokenizer) {
    throw UserError(
        "data.tokenizer: the model was tuned on records and stops at tokens of a tokenizer, which "
        "is not in model.path; name it");
  }
  const auto ends = make_transcripts(*of_run, *tokenizer).end_tokens();
  const std::string name = config.model.path + "/generation_config.json";
  const auto merged = with_end_tokens(text, {ends.begin(), ends.end()}, tokenizer->bos_id(), name);
  const bool same = !text.empty() && Json::parse(merged) == Json::parse(text);
  return same ? std::nullopt : std::optional(merged);
}

}  // namespace lococo
