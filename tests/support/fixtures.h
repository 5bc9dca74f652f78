// Finds the reference fixtures: LOCOCO_FIXTURES, else ../shared/reference/fixtures beside the
// checkout.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lococo::testing {

/// The folder; it may not exist.
std::filesystem::path fixtures_dir();

/// Files of the folder whose name starts with `prefix` and ends with `suffix`, sorted. Skips the
/// test case when there is none (fails it when LOCOCO_FIXTURES is set).
std::vector<std::filesystem::path> fixture_files(const std::string& prefix,
                                                 const std::string& suffix);

/// Sub-folders of hf/ that hold a config.json and an expected.safetensors, sorted; skips as above.
std::vector<std::filesystem::path> fixture_checkpoints();

}  // namespace lococo::testing
