#include "bench/layout.h"

#include <algorithm>
#include <charconv>

#include "config/config_check.h"
#include "core/error.h"

namespace lococo {
namespace {

/// The whole of `text` as a number from 1 on; 0: it is none.
int64_t count_of(const std::string& text) {
  int64_t count = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, count);
  constexpr int64_t kMost = 65536;
  return error == std::errc() && rest == end && count >= 1 && count <= kMost ? count : 0;
}

Layout parse(const std::string& text) {
  const size_t middle = std::min(text.find('x'), text.size());
  const Layout layout = {count_of(text.substr(0, middle)),
                         middle < text.size() ? count_of(text.substr(middle + 1)) : 0};
  if (layout.replicas == 0 || layout.stages == 0) {
    throw UserError("bench.layouts: \"" + text +
                    "\" is no layout; write replicas x stages without blanks, e.g. 4x2");
  }
  return layout;
}

}  // namespace

std::string Layout::name() const { return std::to_string(replicas) + "x" + std::to_string(stages); }

std::vector<Layout> layouts_of(const BenchConfig& bench, int64_t ranks) {
  std::vector<Layout> wanted = {Layout()};
  for (const std::string& text : bench.layouts) wanted.push_back(parse(text));
  if (bench.layouts.empty()) wanted.push_back({ranks, 1});
  std::vector<Layout> layouts;
  for (const Layout& layout : wanted) {
    if (layout.ranks() > ranks) {
      throw UserError("bench.layouts: " + layout.name() + " needs " +
                      std::to_string(layout.ranks()) + " ranks, and there " +
                      (ranks == 1 ? "is 1" : "are " + std::to_string(ranks)) +
                      "; start with mpirun -np " + std::to_string(layout.ranks()));
    }
    if (std::find(layouts.begin(), layouts.end(), layout) == layouts.end())
      layouts.push_back(layout);
  }
  return layouts;
}

Config config_of(const Config& config, const Layout& layout) {
  Config result = config;
  result.distributed.pipeline = layout.stages;
  auto& layers = result.distributed.stage_layers;  // of layouts with as many stages alone
  if (std::ssize(layers) != layout.stages) layers.clear();
  try {
    check_config(result, {});
  } catch (const UserError& error) {
    throw UserError("bench.layouts: " + layout.name() + ": " + error.what());
  }
  return result;
}

}  // namespace lococo
