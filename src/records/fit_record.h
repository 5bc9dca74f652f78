// Records that are longer than a sequence.
#pragma once

#include <cstdint>
#include <vector>

#include "chat/transcript.h"
#include "config/data_config.h"

namespace lococo {

/// A record as tokens.
struct TokenRecord {
  std::vector<int32_t> ids;
  std::vector<TokenSpan> answers;  ///< each with its end token, in order; the loss is on these
};

/// What comes of a transcript in at most `limit` tokens; nothing where there is no way.
///   drop, error      itself, or nothing
///   truncate_prompt  without as many tokens as it takes from where the document begins on: the
///                    template's beginning, the prompt's end and everything from the first answer
///                    on stay; nothing where no token of the message would be left
///   split            one record for each of equal parts of the document, the smallest number that
///                    fits; each with everything before and behind it, question and answers
///                    included. None where a part would have less than an eighth of `limit`
std::vector<TokenRecord> fit_record(const Transcript& transcript, TooLong how, int64_t limit);

/// The record without tokens [cut.begin, cut.end), which must hold no answer.
TokenRecord without(const Transcript& transcript, TokenSpan cut);

}  // namespace lococo
