#include "tools/passive_wait.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace lococo {
namespace {

/// Turns of a waiting loop before a thread sleeps; libgomp's own is 300,000 of them. A thousand are
/// some microseconds: as long as the pause between two parallel loops, too short to hurt others.
constexpr const char* kSpins = "GOMP_SPINCOUNT";
constexpr const char* kFewSpins = "1000";

/// The arguments that this process was started with, its name first.
std::vector<std::string> own_arguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> arguments;
  for (std::string argument; std::getline(file, argument, '\0');) arguments.push_back(argument);
  return arguments;
}

}  // namespace

void wait_passively(const DistributedConfig& config) {
  const bool on_gpu = config.device.rfind("cuda", 0) == 0;
  if (config.threads == 1 || on_gpu || std::getenv(kSpins) != nullptr ||
      std::getenv("OMP_WAIT_POLICY") != nullptr) {
    return;
  }
  std::vector<std::string> arguments = own_arguments();
  if (arguments.empty()) return;
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  // By its own path: started as /proc/self/exe the process would be called "exe" in every list.
  std::error_code error;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return;
  setenv(kSpins, kFewSpins, /*overwrite=*/0);
  execv(self.c_str(), pointers.data());
}

}  // namespace lococo
