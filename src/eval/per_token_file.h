// Every target's NLL in a file, for those who want to look closer than a mean.
#pragma once

#include <string>
#include <vector>

#include "eval/evaluator.h"

namespace lococo {

/// Writes what results hold of LengthResult::nll: to a path ending in .jsonl one object a segment,
/// {"length", "source", "document", "begin", "ids": [...], "nll": [...], "git_revision"}, nll[t]
/// being that of ids[t + 1], so that another program can score the same segments; else float32,
/// little-endian, segment after segment. Throws UserError when it cannot be written.
void write_per_token(const std::string& path, const std::vector<LengthResult>& results);

/// Throws UserError for a name that says no format: .jsonl or .bin. An empty path is fine.
void check_per_token_name(const std::string& path);

}  // namespace lococo
