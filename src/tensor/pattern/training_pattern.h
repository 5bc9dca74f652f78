// The pattern of attention that a config asks for, with the numbers of a model.
#pragma once

#include <memory>
#include <string>

#include "config/attention_config.h"
#include "tensor/pattern/attention_pattern.h"

namespace lococo {

/// attention.pattern for sequences of `context_length` tokens and H query heads. A share of the
/// context is taken here once: what a batch happens to hold does not move a segment's border.
std::shared_ptr<const AttentionPattern> make_training_pattern(const AttentionConfig& attention,
                                                              int64_t context_length, int64_t H);

/// One line: what training will see of a sequence.
std::string describe_pattern(const AttentionConfig& attention, int64_t context_length, int64_t H);

}  // namespace lococo
