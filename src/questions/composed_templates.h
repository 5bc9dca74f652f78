// Templates of facts for training, composed of parts: a few that are written by hand are soon known
// by heart, and then what is kept is these sentences and no others.
#pragma once

#include <vector>

#include "questions/fact_templates.h"

namespace lococo {

/// Every statement differs; of `kind` paraphrase there are none.
std::vector<FactTemplate> composed_templates(FactKind kind);

}  // namespace lococo
