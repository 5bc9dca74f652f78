// Drives a fuzz target where libFuzzer is not to be had: replays the corpus, then feeds mutated
// copies of it. Deterministic for a seed, so a failure can be run again.
//
// Usage: TARGET [--rounds N] [--seed N] [FILE_OR_FOLDER ...]
// On a crash the input is in fuzz_input.bin of the working folder: pass it as FILE to see it again.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;
namespace fs = std::filesystem;

constexpr size_t kMaxBytes = 1 << 16;
constexpr int kMaxEdits = 8;
const char* const kInputFile = "fuzz_input.bin";

struct Options {
  uint64_t rounds = 2000;
  uint64_t seed = 1;
  std::vector<fs::path> corpus;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--rounds" && i + 1 < argc) {
      options.rounds = std::stoull(argv[++i]);
    } else if (argument == "--seed" && i + 1 < argc) {
      options.seed = std::stoull(argv[++i]);
    } else {
      options.corpus.emplace_back(argument);
    }
  }
  return options;
}

Bytes read_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

std::vector<Bytes> read_corpus(const std::vector<fs::path>& paths) {
  std::vector<fs::path> files;
  for (const fs::path& path : paths) {
    if (fs::is_directory(path)) {
      for (const auto& entry : fs::recursive_directory_iterator(path)) {
        if (entry.is_regular_file()) files.push_back(entry.path());
      }
    } else {
      files.push_back(path);
    }
  }
  std::sort(files.begin(), files.end());  // the order of a folder differs between machines
  std::vector<Bytes> corpus = {Bytes()};
  for (const fs::path& file : files) corpus.push_back(read_bytes(file));
  return corpus;
}

/// Runs one input. It lies on disk while it runs, so that it survives a crash.
void run_one(const Bytes& input) {
  std::ofstream(kInputFile, std::ios::binary)
      .write(reinterpret_cast<const char*>(input.data()),
             static_cast<std::streamsize>(input.size()));
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

class Mutator {
 public:
  Mutator(std::vector<Bytes> corpus, uint64_t seed) : corpus_(std::move(corpus)), random_(seed) {}

  Bytes next() {
    Bytes bytes = pick();
    const size_t edits = 1 + below(kMaxEdits);
    for (size_t i = 0; i < edits; ++i) edit(bytes);
    if (bytes.size() > kMaxBytes) bytes.resize(kMaxBytes);
    return bytes;
  }

 private:
  size_t below(size_t bound) { return bound == 0 ? 0 : random_() % bound; }
  const Bytes& pick() { return corpus_[below(corpus_.size())]; }

  void edit(Bytes& bytes) {
    // Values that readers of lengths and offsets get wrong.
    static constexpr uint8_t kInteresting[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '"', '{', '\n'};
    const size_t at = below(bytes.size() + 1);
    const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    switch (below(6)) {
      case 0:  // flip a bit
        if (at < bytes.size()) bytes[at] ^= static_cast<uint8_t>(1u << below(8));
        break;
      case 1:  // an interesting byte
        if (at < bytes.size()) bytes[at] = kInteresting[below(std::size(kInteresting))];
        break;
      case 2:  // cut off the end
        bytes.resize(at);
        break;
      case 3:  // insert random bytes
        for (size_t n = 1 + below(8); n > 0; --n) {
          bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                       static_cast<uint8_t>(random_()));
        }
        break;
      case 4: {  // remove a piece
        const size_t length = below(bytes.size() - at + 1);
        bytes.erase(place, place + static_cast<std::ptrdiff_t>(length));
        break;
      }
      default: {  // splice the tail of another input
        const Bytes& other = pick();
        const size_t from = below(other.size() + 1);
        bytes.resize(at);
        bytes.insert(bytes.end(), other.begin() + static_cast<std::ptrdiff_t>(from), other.end());
      }
    }
  }

  std::vector<Bytes> corpus_;
  std::mt19937_64 random_;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const std::vector<Bytes> corpus = read_corpus(options.corpus);
  for (const Bytes& input : corpus) run_one(input);
  Mutator mutator(corpus, options.seed);
  for (uint64_t round = 0; round < options.rounds; ++round) run_one(mutator.next());
  fs::remove(kInputFile);
  std::printf("%zu corpus inputs and %llu mutations, seed %llu\n", corpus.size(),
              static_cast<unsigned long long>(options.rounds),
              static_cast<unsigned long long>(options.seed));
  return 0;
}
