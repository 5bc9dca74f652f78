#include "data/prepare.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/elapsed.h"
#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "data/documents.h"
#include "data/parallel_tokenizer.h"
#include "data/token_file_writer.h"

namespace lococo {
namespace {

namespace fs = std::filesystem;

uint64_t hash_text(const std::string& text) { return XXH64(text.data(), text.size(), 0); }

uint64_t bytes_of(const std::vector<DocumentFile>& files) {
  uint64_t bytes = 0;
  for (const DocumentFile& file : files) bytes += file.size;
  return bytes;
}

bool holds_tokens(const std::string& path) {
  return path.ends_with(".bin") || path.ends_with(".tokens") || TokenFile::has_magic(path);
}

// Of everything that decides the tokens apart from the bytes of the source.
uint64_t options_hash(const DataConfig& config, const Tokenizer& tokenizer) {
  const uint64_t flags = (config.add_bos ? 1 : 0) + (config.add_eos ? 2 : 0);
  return hash_u64(tokenizer.fingerprint(), flags, hash_text(config.text_field));
}

uint64_t source_fingerprint(const std::vector<DocumentFile>& files, uint64_t options) {
  uint64_t h = options;
  for (const DocumentFile& file : files) {
    h = hash_u64(h, hash_text(file.name), file.size, static_cast<uint64_t>(file.modified_ns));
  }
  return h;
}

std::string token_file_path(const std::string& source, const DataConfig& config, uint64_t options) {
  const fs::path place = fs::canonical(source);
  const fs::path folder =
      config.cache_dir.empty() ? place.parent_path() : fs::path(config.cache_dir);
  const uint64_t hash = hash_u64(options, hash_text(place.string()));
  return (folder / (place.filename().string() + "." + hex_text(hash) + ".tokens")).string();
}

bool up_to_date(const std::string& path, uint64_t fingerprint) {
  if (!path_exists(path)) return false;
  try {
    return TokenFile(path).source_fingerprint() == fingerprint;
  } catch (const UserError& e) {
    log_warn(std::string(e.what()) + "; making it anew");
    return false;
  }
}

void report(const std::string& path, const DataConfig& config, const std::string& how) {
  const TokenFile file(path, config.raw_dtype);
  int64_t left_out = 0;
  for (int64_t i = 0; i < file.num_documents(); ++i) {
    if (file.document_length(i) < config.min_document_tokens) ++left_out;
  }
  std::string line = path + ": " + std::to_string(file.num_documents()) + " documents, " +
                     std::to_string(file.num_tokens()) + " tokens" + how;
  if (config.min_document_tokens > 0) {
    line += "; " + std::to_string(left_out) + " documents below data.min_document_tokens " +
            std::to_string(config.min_document_tokens) + " will be left out of training sequences";
  }
  log_info(line);
}

void check_tokenizer(const TokenFile& file, const Tokenizer* tokenizer) {
  if (file.is_raw() || tokenizer == nullptr) return;
  if (file.tokenizer_fingerprint() == tokenizer->fingerprint()) return;
  throw UserError(file.path() + ": its tokens are of another tokenizer than data.tokenizer (" +
                  hex_text(file.tokenizer_fingerprint()) + ", not " +
                  hex_text(tokenizer->fingerprint()) + "); prepare it again from its text");
}

void check_cache_dir(const std::string& folder) {
  try {
    check_can_make_directories(folder);
  } catch (const UserError& error) {
    throw UserError("data.cache_dir: " + std::string(error.what()));
  }
}

/// Token files go beside their source unless the user names another place, which is made where it
/// is missing.
void require_writable(const SourcePlan& plan, const DataSource& source, const DataConfig& config) {
  const std::string folder = fs::path(plan.token_file).parent_path().string();
  if (!config.cache_dir.empty()) return check_cache_dir(config.cache_dir);
  if (::faccessat(AT_FDCWD, folder.c_str(), W_OK, AT_EACCESS) == 0) return;
  throw UserError(source.path + ": its token file would lie beside it, but " + folder +
                  " is not writable (" + std::strerror(errno) +
                  "); set data.cache_dir to a folder for token files");
}

void tokenise_files(const SourcePlan& plan, const DataConfig& config, const Tokenizer& tokenizer,
                    const PrepareProgress& progress, TokenFileWriter* writer) {
  ParallelTokenizer tokens(tokenizer, config.add_bos, config.add_eos,
                           [&](const std::string& name, const std::vector<int32_t>& ids) {
                             writer->add_document(name, ids);
                           });
  const uint64_t total = bytes_of(plan.files);
  uint64_t before = 0;  // bytes of the files that are done
  for (const DocumentFile& file : plan.files) {
    const auto add = [&](const std::string& name, std::string&& text) {
      tokens.add(name, std::move(text));
    };
    for_each_document(file, config.text_field, add, [&](uint64_t bytes) {
      if (progress) progress(before + bytes, total);
    });
    before += file.size;
  }
  tokens.finish();
}

void tokenise(const SourcePlan& plan, const DataConfig& config, const Tokenizer& tokenizer,
              const PrepareProgress& progress) {
  const auto started = steady_now();
  log_info("tokenising into " + plan.token_file);
  TokenFileWriter writer(plan.token_file,
                         {tokenizer.vocab_size(), tokenizer.fingerprint(), plan.fingerprint});
  // The writer may have waited for another process that made the same file.
  if (up_to_date(plan.token_file, plan.fingerprint)) {
    report(plan.token_file, config, ", made by another process");
    return;
  }
  tokenise_files(plan, config, tokenizer, progress, &writer);
  writer.finish();
  const double took = seconds_since(started);
  char how[64];
  std::snprintf(how, sizeof(how), " in %.1f s (%.0f tokens/s)", took,
                static_cast<double>(writer.num_tokens()) / took);
  report(plan.token_file, config, how);
}

using OpenFiles = std::vector<std::shared_ptr<const TokenFile>>;

/// A line about a token file in words of the source that it was made of: that is what was given.
std::string with_sources_named(const std::string& line, const std::vector<DataSource>& sources,
                               const OpenFiles& files) {
  for (size_t i = 0; i < sources.size(); ++i) {
    const std::string& made = files[i]->path();
    if (line.starts_with(made + ": ")) return sources[i].path + line.substr(made.size());
  }
  return line;
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const DataConfig& config, const std::string& model_path) {
  if (!config.tokenizer.empty()) return load_tokenizer(config.tokenizer);
  if (model_path.empty()) return nullptr;
  // Where a folder has both they say the same; SentencePiece's own file is the older habit.
  for (const char* const name : {"/tokenizer.model", "/tokenizer.json"}) {
    if (path_exists(model_path + name)) return load_tokenizer(model_path + name);
  }
  return nullptr;
}

SourcePlan plan_source(const DataSource& source, const DataConfig& config,
                       const Tokenizer* tokenizer) {
  if (!path_exists(source.path)) throw UserError(source.path + ": no such file or folder");
  SourcePlan plan;
  if (!is_folder(source.path) && holds_tokens(source.path)) {
    check_tokenizer(TokenFile(source.path, config.raw_dtype), tokenizer);
    plan.token_file = source.path;
    plan.ready = true;
    return plan;
  }
  if (tokenizer == nullptr) {
    throw UserError(source.path + ": text needs a tokenizer, and neither data.tokenizer nor " +
                    "model.path gives one; " + kWithoutTokenizer);
  }
  plan.files = list_document_files(source.path);
  const uint64_t options = options_hash(config, *tokenizer);
  plan.fingerprint = source_fingerprint(plan.files, options);
  plan.token_file = token_file_path(source.path, config, options);
  plan.ready = up_to_date(plan.token_file, plan.fingerprint);
  if (!plan.ready) require_writable(plan, source, config);
  return plan;
}

SourcePlan look_at_source(const DataSource& source, const DataConfig& config,
                          const Tokenizer* tokenizer) {
  SourcePlan plan = plan_source(source, config, tokenizer);
  if (plan.ready) return plan;
  for (const DocumentFile& file : plan.files) look_at_document(file, config.text_field);
  return plan;
}

bool are_prepared(const std::vector<DataSource>& sources, const DataConfig& config,
                  const Tokenizer* tokenizer) {
  return std::all_of(sources.begin(), sources.end(), [&](const DataSource& source) {
    return plan_source(source, config, tokenizer).ready;
  });
}

std::string prepare_source(const DataSource& source, const DataConfig& config,
                           const Tokenizer* tokenizer, const PrepareProgress& progress) {
  const SourcePlan plan = plan_source(source, config, tokenizer);
  if (plan.ready) {
    report(plan.token_file, config, plan.files.empty() ? "" : ", up to date");
  } else {
    tokenise(plan, config, *tokenizer, progress);
  }
  return plan.token_file;
}

std::string prepare_source(const DataSource& source, const DataConfig& config,
                           const Tokenizer& tokenizer) {
  return prepare_source(source, config, &tokenizer);
}

std::vector<std::shared_ptr<const TokenFile>> open_sources(const std::vector<DataSource>& sources,
                                                           const DataConfig& config,
                                                           const Tokenizer* tokenizer,
                                                           int64_t vocab_size) {
  std::vector<std::shared_ptr<const TokenFile>> files;
  for (const DataSource& source : sources) {
    const SourcePlan plan = plan_source(source, config, tokenizer);
    if (!plan.ready) tokenise(plan, config, *tokenizer, {});
    files.push_back(std::make_shared<const TokenFile>(plan.token_file, config.raw_dtype));
    if (vocab_size > 0) files.back()->check_token_range(vocab_size);
  }
  return files;
}

Dataset open_dataset(const std::vector<DataSource>& sources, const DataConfig& config,
                     const Tokenizer* tokenizer, int64_t vocab_size) {
  const auto files = open_sources(sources, config, tokenizer, vocab_size);
  std::vector<WeightedTokenFile> weighted;
  for (size_t i = 0; i < sources.size(); ++i) weighted.push_back({files[i], sources[i].weight});
  try {
    return Dataset(std::move(weighted), config.sampling, config.context_length,
                   config.min_document_tokens);
  } catch (const UserError& error) {
    throw UserError(with_sources_named(error.what(), sources, files));
  }
}

}  // namespace lococo
