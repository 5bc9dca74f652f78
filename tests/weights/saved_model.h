// A model in a Hugging Face folder, for tests that load it, spoil it or write it anew.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

#include "tensor/kit/safetensors_tensor.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/user_error.h"
#include "weights/hf_weights.h"
#include "weights/hf_weights_save.h"

namespace lococo::testing {

inline constexpr int64_t kOneFile = int64_t{1} << 30;
inline constexpr int64_t kSmallShards = 8000;

/// A folder with a random model, and the model.
struct SavedModel {
  explicit SavedModel(const ModelShape& shape = tiny_shape()) : model(tiny_llama(3, {}, shape)) {
    save_hf_model(model, folder.path(), DType::kFloat32, kOneFile);
  }
  std::string file() const { return folder / "model.safetensors"; }
  /// Rewrites the weights after a change.
  template <typename Change>
  void change(const Change& edit) {
    TensorMap tensors = read_tensors(file());
    edit(tensors);
    write_tensors(file(), tensors);
  }
  TemporaryFolder folder;
  Llama model;
};

/// The line with which loading into another model is refused.
inline std::string load_error(const std::string& dir, const ModelShape& shape = tiny_shape()) {
  Llama model = tiny_llama(4, {}, shape);
  const TensorMap before = snapshot(model);
  const std::string line = user_error_of([&] { load_hf_weights(model, dir); });
  CHECK(same_bits(before, snapshot(model)));  // nothing is changed by a failed load
  return line;
}

inline ModelShape tied_shape() {
  ModelShape shape = tiny_shape();
  shape.tie_word_embeddings = true;
  return shape;
}

/// A safetensors file whose header has exactly this text.
inline void write_raw(const std::string& path, const std::string& header, const std::string& data) {
  std::ofstream file(path, std::ios::binary);
  const uint64_t length = header.size();
  file.write(reinterpret_cast<const char*>(&length), sizeof(length));
  file << header << data;
}

}  // namespace lococo::testing
