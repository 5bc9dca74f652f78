// RULER's needles in a haystack.
#pragma once

#include "questions/draws.h"
#include "questions/prompt_fitter.h"
#include "questions/word_lists.h"
#include "tasks/task_sample.h"

namespace lococo {

/// Fills in the prompt of sample->kind, a niah_ task (ruler.h), at sample->length. Keys are an
/// adjective and a noun of the split, values seven digits. In novels needles lie at different ones
/// of 40 depths, in filler anywhere. 128 tokens are generated. Chance: 1 in 9,000,000 a value.
void make_niah(Split split, Draws* draws, PromptFitter* fitter, TaskSample* sample);

}  // namespace lococo
