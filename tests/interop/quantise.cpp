// The matrices of a safetensors file in NF4, for the Python side to compare.
//
//   interop_quantise IN OUT DEVICE: for each matrix NAME of IN, OUT holds the parts NAME.codes,
//   NAME.scale_codes, NAME.group_scales and NAME.offset, and the dequantised values as NAME.float32
//   and NAME.bfloat16; both are computed on DEVICE

#include <cstdio>

#include "tensor/frozen/nf4.h"
#include "tensor/kit/safetensors_tensor.h"
#include "tensor/kit/torch.h"

int main(int argc, char** argv) {
  using namespace lococo;
  if (argc != 4) {
    std::fputs("usage: interop_quantise IN OUT DEVICE\n", stderr);
    return 2;
  }
  const torch::Device device(argv[3]);
  TensorMap out;
  for (const auto& [name, values] : read_tensors(argv[1])) {
    const auto matrix = nf4_quantise(values.to(device));
    out[name + ".codes"] = matrix.codes_P;
    out[name + ".scale_codes"] = matrix.scale_codes_S;
    out[name + ".group_scales"] = matrix.group_scales_T;
    out[name + ".offset"] = matrix.offset.reshape({1});
    out[name + ".float32"] = nf4_dequantise(matrix, torch::kFloat32);
    out[name + ".bfloat16"] = nf4_dequantise(matrix, torch::kBFloat16);
  }
  write_tensors(argv[2], out);
  return 0;
}
