// Where an exported model stops: generation_config.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"

namespace lococo {

/// generation_config.json's text with the tokens that end an answer of records among its
/// eos_token_id: those of the config's data.template when it has data.records, else those of the
/// config that the checkpoint at model.adapter was trained with. `text`: what the base has, "" for
/// none. Nullopt where no records were trained on or nothing changes. Throws UserError for a text
/// that is no JSON object, and where records were trained on and their tokenizer is not there.
std::optional<std::string> generation_config_of_records(const Config& config,
                                                        const std::string& text,
                                                        int64_t vocab_size);

/// The text with `ids` among its eos_token_id, behind those that are there; `name` stands for the
/// file in messages.
std::string with_end_tokens(const std::string& text, const std::vector<int64_t>& ids,
                            int64_t bos_id, const std::string& name);

}  // namespace lococo
