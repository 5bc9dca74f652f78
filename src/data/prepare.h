// From a source of the config to an open token file; nothing is tokenised twice.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/data_config.h"
#include "data/dataset.h"
#include "data/documents.h"
#include "data/token_file.h"
#include "tokenizer/tokenizer.h"

namespace lococo {

/// The tokenizer of data.tokenizer, else tokenizer.model or tokenizer.json of the model's folder;
/// null when there is none (token files need none). Throws UserError when it cannot be read.
std::unique_ptr<Tokenizer> open_tokenizer(const DataConfig& config, const std::string& model_path);

/// What preparing a source means, found out without doing it.
struct SourcePlan {
  std::string token_file;           ///< the source itself when it holds tokens
  bool ready = false;               ///< nothing is left to do
  uint64_t fingerprint = 0;         ///< of the source files and the options that decide the tokens
  std::vector<DocumentFile> files;  ///< to be read in this order; empty for a source of tokens
};

/// Throws UserError as prepare_source does, for everything but the texts' content.
SourcePlan plan_source(const DataSource& source, const DataConfig& config,
                       const Tokenizer* tokenizer);

/// plan_source(), and of texts that have yet to be tokenised a look at each (look_at_document):
/// what a dry run does.
SourcePlan look_at_source(const DataSource& source, const DataConfig& config,
                          const Tokenizer* tokenizer);

/// Whether open_sources() would find every source tokenised. Throws as plan_source() does.
bool are_prepared(const std::vector<DataSource>& sources, const DataConfig& config,
                  const Tokenizer* tokenizer);

/// Told while a source is tokenised how many of its bytes on the disk have been read, and of how
/// many.
using PrepareProgress = std::function<void(uint64_t done, uint64_t total)>;

/// Makes the token file of a source, or finds the one made before, and returns its path. A document
/// is [BOS] + ids + [EOS] by config.add_bos and add_eos, in the order of for_each_document. The
/// file lies in config.cache_dir, else beside the source, as NAME.HASH.tokens with a hash of the
/// source's place, tokenizer and options; it is up to date when the source files still have the
/// same names, sizes and modification times. Of several processes that prepare one source at a
/// time, also on several hosts that share the disk, the first makes the file and the others wait
/// for it. Tokenises on all cores with bounded memory and logs documents, tokens, tokens/s and the
/// documents below config.min_document_tokens: those stay in the file (so that the limit can change
/// freely) and are left out when sequences are drawn. A source that is a token file or raw tokens
/// is returned as it is. Throws UserError; a token file given as a source must be of this
/// tokenizer.
std::string prepare_source(const DataSource& source, const DataConfig& config,
                           const Tokenizer& tokenizer);

/// The same without a tokenizer for sources that hold tokens; throws UserError for text.
/// (Ranks: let one of each host prepare all sources first, then let every rank open them.)
std::string prepare_source(const DataSource& source, const DataConfig& config,
                           const Tokenizer* tokenizer, const PrepareProgress& progress = {});

/// prepare_source (without a word when nothing is to do), then opens each file and checks that its
/// tokens fit the model (`vocab_size`, 0: unchecked).
std::vector<std::shared_ptr<const TokenFile>> open_sources(const std::vector<DataSource>& sources,
                                                           const DataConfig& config,
                                                           const Tokenizer* tokenizer,
                                                           int64_t vocab_size);

/// open_sources as a mix ready for drawing training sequences.
Dataset open_dataset(const std::vector<DataSource>& sources, const DataConfig& config,
                     const Tokenizer* tokenizer, int64_t vocab_size);

}  // namespace lococo
