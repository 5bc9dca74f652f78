#include "config/config_rope.h"

#include "config/scalar_reader.h"

namespace lococo {
namespace {

using Kind = YamlNode::Kind;

/// A member of RopeScaling besides the type, and the types that know it.
struct RopeMember {
  const char* name;
  double RopeScaling::*value;
  bool in_yarn;
  bool in_llama3;
  bool in_simple;
};

class RopeReader : ScalarReader {
 public:
  using ScalarReader::ScalarReader;

  RopeScaling read(const YamlNode& node) const {
    if (node.kind != Kind::kMap) {
      fail("expected null or a map {type, factor, ...}, got " + describe(node));
    }
    RopeScaling scaling;
    bool has_type = false;
    for (const auto& [name, value] : node.entries) {
      if (name != "type" && name != "rope_type") continue;
      scaling.type = type_of(value);
      has_type = true;
    }
    if (!has_type) fail("type is missing; use default, linear, dynamic, yarn or llama3");
    bool has_factor = false;
    for (const auto& [name, value] : node.entries) {
      has_factor = has_factor || name == "factor";
      if (name != "type" && name != "rope_type") read_member(name, value, &scaling);
    }
    if (scaling.type != RopeType::kDefault && !has_factor) fail("factor is missing");
    return scaling;
  }

 private:
  RopeType type_of(const YamlNode& node) const {
    for (const RopeType type : {RopeType::kDefault, RopeType::kLinear, RopeType::kDynamic,
                                RopeType::kYarn, RopeType::kLlama3}) {
      if (node.kind == Kind::kScalar && node.text == name_of(type)) return type;
    }
    fail("type: " + describe(node) +
         " is not a choice; use default, linear, dynamic, yarn or llama3");
  }

  void read_member(const std::string& name, const YamlNode& node, RopeScaling* scaling) const {
    const RopeType type = scaling->type;
    if (name == "original_max_position_embeddings" && type != RopeType::kDefault) {
      const int64_t most = int64_t{1} << 31;
      scaling->original_max_position_embeddings = integer<int64_t>(node, 0, most);
      return;
    }
    static constexpr RopeMember kMembers[] = {
        {"factor", &RopeScaling::factor, true, true, true},
        {"low_freq_factor", &RopeScaling::low_freq_factor, false, true, false},
        {"high_freq_factor", &RopeScaling::high_freq_factor, false, true, false},
        {"beta_fast", &RopeScaling::beta_fast, true, false, false},
        {"beta_slow", &RopeScaling::beta_slow, true, false, false},
        {"attention_factor", &RopeScaling::attention_factor, true, false, false},
    };
    for (const RopeMember& member : kMembers) {
      const bool known = type == RopeType::kYarn ? member.in_yarn
                         : type == RopeType::kLlama3
                             ? member.in_llama3
                             : member.in_simple && type != RopeType::kDefault;
      if (name == member.name && known) {
        scaling->*member.value = number(node, name + ": ");
        return;
      }
    }
    fail(name + ": unknown key for type " + name_of(type));
  }
};

}  // namespace

RopeScaling read_rope_scaling(const YamlNode& node, const std::string& where) {
  return RopeReader(where).read(node);
}

}  // namespace lococo
