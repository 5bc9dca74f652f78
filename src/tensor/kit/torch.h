/// The part of LibTorch's headers that the project uses, in place of <torch/torch.h>.
///
/// Every file with torch headers pays for the templates that they instantiate, even where the
/// headers are precompiled: 4 s of processor time with these, 8 s with all of <torch/torch.h>.
/// A file that needs more (an optimizer, a functional) includes that header itself.
#pragma once

#include <torch/autograd.h>
#include <torch/cuda.h>
#include <torch/nn/module.h>
#include <torch/types.h>
#include <torch/utils.h>
