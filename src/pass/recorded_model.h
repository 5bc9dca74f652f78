// What recordings of a model's work hold of it, and need of it.
#pragma once

#include <vector>

#include "model/llama.h"

namespace lococo {

/// The memory of parameters and gradients: where it has moved, recordings are of no use.
std::vector<const void*> addresses_of(Llama& model);

/// Whether every trained parameter has a gradient: one that a recording would have to allocate
/// would be lost.
bool gradients_exist(Llama& model);

}  // namespace lococo
