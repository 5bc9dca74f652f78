#include "weights/fingerprint.h"

#include <xxhash.h>

#include <memory>
#include <sstream>
#include <vector>

#include "core/files.h"
#include "core/hash.h"
#include "core/hf_config.h"
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

constexpr char kBeforeArithmetic = '+';

std::string of_arithmetic(const ModelShape& shape) {
  std::ostringstream text;
  text << std::hexfloat << shape.rms_norm_eps << ' ' << shape.rope_theta;
  const RopeScaling& scaling = shape.rope_scaling;
  if (scaling.type != RopeType::kDefault) {
    const int64_t original = scaling.original_max_position_embeddings;
    text << ' ' << name_of(scaling.type) << ' ' << scaling.factor << ' '
         << (original > 0 ? original : shape.max_position_embeddings) << ' '
         << scaling.low_freq_factor << ' ' << scaling.high_freq_factor << ' ' << scaling.beta_fast
         << ' ' << scaling.beta_slow << ' ' << scaling.attention_factor;
  }
  Hasher hasher;
  hasher.add_text(text.str());
  return kBeforeArithmetic + hasher.hex();
}

std::string weights_part(const std::string& fingerprint) {
  return fingerprint.substr(0, fingerprint.find(kBeforeArithmetic));
}

}  // namespace

bool may_be_same_base(const std::string& one, const std::string& other) {
  if (one.empty() || other.empty() || one == other) return true;
  const bool both_know = one.find(kBeforeArithmetic) != std::string::npos &&
                         other.find(kBeforeArithmetic) != std::string::npos;
  return !both_know && weights_part(one) == weights_part(other);
}

std::string base_difference(const std::string& one, const std::string& other) {
  return weights_part(one) == weights_part(other) ? "rms_norm_eps, rope_theta or rope_scaling"
                                                  : "weights";
}

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
  const bool has_config = path_exists(dir + "/config.json");
  return hasher.hex() + (has_config ? of_arithmetic(read_hf_config(dir)) : "");
}

std::string fingerprint_of_random_base(const ModelShape& shape, uint64_t seed, double init_std) {
  std::ostringstream text;
  text << shape.vocab_size << ' ' << shape.hidden_size << ' ' << shape.intermediate_size << ' '
       << shape.num_layers << ' ' << shape.num_heads << ' ' << shape.num_kv_heads << ' '
       << shape.head_dim << ' ' << shape.tie_word_embeddings << ' ' << std::hexfloat << init_std
       << ' ' << seed;
  Hasher hasher;
  hasher.add_text(text.str());
  return "random-" + hasher.hex() + of_arithmetic(shape);
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
