// What a generation continues: the config's prompt as token ids.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "config/config.h"
#include "dist/communicator.h"
#include "tokenizer/tokenizer.h"

namespace lococo {

/// The whole file, or of "-" standard input. Throws UserError.
std::string read_text_or_standard_input(const std::string& path);

/// Throws UserError for two prompts, or one beside a question or a conversation.
void check_single_prompt(const GenerateConfig& config);

/// A config without a prompt or a question takes it from standard input, where that is no terminal.
GenerateConfig with_standard_input(GenerateConfig config);

/// The same with something harmless in place of what standard input would bring.
GenerateConfig without_standard_input(GenerateConfig config);

/// Token ids of the one prompt that `config.generate` gives: of a text (prompt, or prompt_file, "-"
/// being standard input) with BOS in front where data.add_bos asks for it, or prompt_ids as they
/// are. Texts are read as they are, a newline at the end included. `tokenizer` may be null for
/// prompt_ids. Throws UserError for two prompts, for one without any token, for text that is not
/// UTF-8 or has no tokenizer, for ids outside [0, vocab_size).
std::vector<int32_t> prompt_tokens(const Config& config, const Tokenizer* tokenizer,
                                   int64_t vocab_size);

/// "1 2 3", "[1, 2, 3]" or one on each line, as ids in [0, vocab_size); other text names a file of
/// such ids ("-": standard input). Throws UserError.
std::vector<int32_t> parse_token_ids(const std::string& text, int64_t vocab_size);

/// The ids that `read` gives on rank 0, on all `ranks`: standard input is rank 0's alone, and hosts
/// may hold other files.
std::vector<int32_t> ids_of_rank_0(Communicator& ranks,
                                   const std::function<std::vector<int32_t>()>& read);

}  // namespace lococo
