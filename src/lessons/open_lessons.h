// Lessons as a config asks for them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "lessons/lesson_source.h"

namespace lococo {

/// Reads data.lesson_texts (data.train without them) into memory; questions are asked in the base's
/// own chat template, in plain text where it has none. `tokenizer` may be null: then, and for
/// sources that hold tokens, throws UserError, as well as for texts and a template that cannot be
/// read. Null when data.lesson_share is 0.
std::unique_ptr<LessonSource> open_lessons(const Config& config,
                                           std::shared_ptr<const Tokenizer> tokenizer);

/// Throws what open_lessons() throws before it opens a text: for a missing tokenizer, no texts,
/// tokens in their place, a template that cannot be read or used, too short a context.
void check_lessons(const Config& config, const Tokenizer* tokenizer);

/// Where the lessons' texts are: data.lesson_texts, without them those of data.train.
std::vector<std::string> lesson_paths(const DataConfig& data);

}  // namespace lococo
