// RULER's common and frequent words.
#pragma once

#include "questions/draws.h"
#include "questions/prompt_form.h"
#include "questions/token_costs.h"
#include "questions/word_lists.h"
#include "tasks/task_sample.h"

namespace lococo {

/// cwe: a numbered list in which ten words stand 30 times each and the others 3 times each, after
/// an example of 40 words with its answer (10 and 3 times); below 4,096 tokens 6 and 1, after 20
/// words (3 and 1). So too where a longer prompt has room for fewer than 100 others, which happens
/// with a token for each digit. Asked are the ten. Nouns of the split, or an adjective and a noun
/// where those do not suffice. The list is as long as the prompt allows; one of the others may
/// stand less often, and some are longer than others, so that the prompt is full. 120 tokens are
/// generated. Chance: ten of the list's words.
void make_common_words(Split split, const PromptForm& form, TokenCosts* costs, Draws* draws,
                       TaskSample* sample);

/// fwe: coded words of six letters in random order, of a vocabulary of length / 50; the k-th stands
/// n k^-2 / zeta(2) times, but the first is "...", which is to be ignored. Asked are the next
/// three. n is as large as the prompt allows, further "..." fill it. 50 tokens are generated.
/// Chance: three of the words that occur.
void make_frequent_words(const PromptForm& form, Draws* draws, TaskSample* sample);

}  // namespace lococo
