// RULER's variable tracking.
#pragma once

#include "questions/draws.h"
#include "questions/prompt_fitter.h"
#include "tasks/task_sample.h"

namespace lococo {

/// One chain: a number is assigned to a variable of five capitals, and that to the next one, four
/// times, on lines of their own in this order anywhere among lines of filler. Asked are all five
/// variables. Before it comes an example of the same form with its answer, three capitals a
/// variable, of at most 500 tokens and a quarter of the prompt. 30 tokens are generated. Chance:
/// practically 0 (1 in 26^5 a variable for somebody who has not read any).
void make_variable_tracking(Draws* draws, PromptFitter* fitter, TaskSample* sample);

}  // namespace lococo
