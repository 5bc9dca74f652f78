// What a run says of the files that it learns from, or evaluates on, before it begins.
#pragma once

#include "config/config.h"

namespace lococo {

/// Whether a training scores data.validation_records: every eval.every steps, or where that is 0 at
/// its end (eval.after_training).
bool evaluates_records(const Config& config);

/// A training without eval.every reads data.validation when it has ended: throws UserError before
/// it begins for a path where nothing is.
void check_validation_paths(const Config& config);

/// Throws UserError where there are no texts to evaluate on.
void check_validation_given(const DataConfig& data);

/// Looks at the files that lococo-train would open: data.tokenizer, data.train with the lessons'
/// texts or data.records, and what it evaluates on. Throws UserError, in the run's own words and
/// one line for all, for files that are missing or cannot be opened, names of no known form, tokens
/// of another tokenizer or too few, texts whose beginning is refused (look_at_document), contexts
/// too short for lessons, records that are none. Records are read and not tokenised; what a config
/// does not name is not missed. Sources that only the evaluation after training reads are warned
/// of, as the run would.
void check_training_sources(const Config& config);

/// The same for what lococo-eval scores: data.validation_records, without them data.validation,
/// which must then be there.
void check_evaluation_sources(const Config& config);

/// Warns where the blockwise pass takes records without cache.boundary_targets: the last query of
/// each block then has no target, which may be a token of an answer.
void warn_about_untrained_answers(const Config& config);

}  // namespace lococo
