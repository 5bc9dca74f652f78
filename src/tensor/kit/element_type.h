// The element types that the project's own CUDA kernels read and write.
#pragma once

namespace lococo {

enum class ElementType { kFloat32, kBfloat16 };

}  // namespace lococo
