// config.json of an exported model: the base's own, with what was changed.
#pragma once

#include <string>

namespace lococo {

/// BASE/config.json with the model's angles and dtype from DIR/config.json (write_hf_config) in it,
/// and the keys that only the latter has, is written to DIR: whatever else the base's makers said
/// about it (special tokens, initializer_range, ...) stays. Does nothing without a base.
void keep_base_config(const std::string& base, const std::string& dir);

/// The same on texts; `name` stands for the base's file in messages.
std::string merge_hf_config(const std::string& base_text, const std::string& own_text,
                            const std::string& name);

}  // namespace lococo
