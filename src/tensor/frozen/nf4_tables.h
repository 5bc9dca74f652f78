// The tables of NF4 (nf4.h), for kernels that read its codes.
#pragma once

#include <torch/types.h>

namespace lococo {

struct Nf4Tables {
  torch::Tensor values_16;  ///< float32: what a code of 4 bits means
  torch::Tensor tree_256;   ///< float32: what a code of a scale means
};

/// On `device`, whose first quantised matrix made them; never freed.
Nf4Tables nf4_tables(torch::Device device);

}  // namespace lococo
