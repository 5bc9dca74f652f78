#include "weights/fingerprint.h"

#include <xxhash.h>

#include <memory>
#include <sstream>
#include <vector>

#include "core/files.h"
#include "core/hash.h"
#include "core/progress_count.h"
#include "weights/hf_weights.h"

namespace lococo {
namespace {

class Hasher {
 public:
  Hasher() : state_(XXH3_createState(), &XXH3_freeState) { XXH3_64bits_reset(state_.get()); }
  void add(const void* data, size_t num_bytes) {
    XXH3_64bits_update(state_.get(), data, num_bytes);
  }
  /// With its end marked, so that "ab" + "c" and "a" + "bc" differ.
  void add_text(const std::string& text) { add(text.c_str(), text.size() + 1); }
  std::string hex() const { return hex_text(XXH3_64bits_digest(state_.get())); }

 private:
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
};

}  // namespace

std::string fingerprint_of_base(const std::string& dir) {
  const HfTensors tensors = open_hf_tensors(dir);
  Hasher hasher;
  for (const auto& [name, view] : tensors.views) {
    hasher.add_text(name);
    hasher.add_text(name_of(view.dtype));
    for (const int64_t size : view.shape) hasher.add_text(std::to_string(size));
    hasher.add_text("");
    hasher.add(view.data, view.num_bytes);
    note_progress();
  }
  return hasher.hex();
}

std::string fingerprint_of_random_base(const ModelShape& shape, uint64_t seed, double init_std) {
  std::ostringstream text;
  text << shape.vocab_size << ' ' << shape.hidden_size << ' ' << shape.intermediate_size << ' '
       << shape.num_layers << ' ' << shape.num_heads << ' ' << shape.num_kv_heads << ' '
       << shape.head_dim << ' ' << shape.tie_word_embeddings << ' ' << std::hexfloat << init_std
       << ' ' << seed;
  Hasher hasher;
  hasher.add_text(text.str());
  return "random-" + hasher.hex();
}

std::string checksum_of_file(const std::string& path) {
  InputFile file(path);
  const std::unique_ptr<XXH64_state_t, decltype(&XXH64_freeState)> state(XXH64_createState(),
                                                                         &XXH64_freeState);
  XXH64_reset(state.get(), 0);
  std::vector<char> buffer(size_t{1} << 20);
  while (const size_t got = file.read(buffer.data(), buffer.size())) {
    XXH64_update(state.get(), buffer.data(), got);
  }
  return hex_text(XXH64_digest(state.get()));
}

}  // namespace lococo
