// lococo-generate: continues a text at constant memory under any cache policy.
#include <algorithm>
#include <cstdio>

#include "config/config_write.h"
#include "core/error.h"
#include "generate/run_generation.h"
#include "setup/check_inputs.h"
#include "setup/complete_config.h"
#include "tools/cli.h"

namespace {

struct EmptyText {
  const char* key;
  const char* flag;
  const char* remedy;
};
constexpr EmptyText kEmptyTexts[] = {
    {"generate.question", "--question", "ask something, or name the text to continue: --prompt"},
    {"generate.document", "--document", "name a file, or the text to continue: --prompt"},
    {"generate.prompt", "--prompt", "give a text to continue"},
    {"generate.prompt_file", "--prompt-file", "name a file"},
    {"generate.prompt_ids", "--prompt-ids", "give token ids"}};

/// What is given as an empty text, by a variable that was never set perhaps, is none, and standard
/// input would be waited for in its place.
void check_empty_texts(const lococo::CommandLine& line, const lococo::GenerateConfig& generate) {
  const bool has_any = generate.chat || !generate.document.empty() || !generate.prompt.empty() ||
                       !generate.prompt_file.empty() || !generate.prompt_ids.empty() ||
                       !generate.question.empty();
  if (has_any) return;
  const auto& given = line.overrides;
  for (const EmptyText& text : kEmptyTexts) {
    const std::string key = text.key;
    if (std::find(given.begin(), given.end(), key + "=") == given.end()) continue;
    throw lococo::UserError(key + " (" + text.flag + "): is empty; " + text.remedy +
                            ", or - for standard input");
  }
}

int run(const lococo::CommandLine& line, const lococo::Config& config) {
  check_empty_texts(line, config.generate);
  if (!line.dry_run) return lococo::run_generation(config);
  lococo::check_inputs(config);
  lococo::check_generation(config);
  std::fputs(lococo::config_to_yaml(config).c_str(), stdout);
  return 0;
}

lococo::Tool tool() {
  lococo::Tool tool = {
      "lococo-generate",
      "Continues a text, with a cache that does not grow. The text appears on stdout as it is "
      "made.",
      "  lococo-generate config.yaml --prompt \"Once upon a time\" generate.max_new_tokens=100\n"
      "  lococo-generate config.yaml - < book.txt > continuation.txt\n"
      "  lococo-generate config.yaml --document book.txt --question \"Who lives in Lisbon?\"\n"
      "  lococo-generate config.yaml --chat\n"
      "  lococo-generate config.yaml --prompt-ids \"1 450 2446\" --ids\n",
      run,
      lococo::complete_config_for_reading,
      /*passive_threads=*/true};
  tool.flags_title = "Prompt (without one: standard input, when that is no terminal)";
  tool.flags = {
      {"--prompt", "TEXT", "The text to continue, as it is", "generate.prompt="},
      {"--prompt-file", "FILE", "A file that holds it; -: standard input", "generate.prompt_file="},
      {"--prompt-ids", "IDS", "Token ids \"1 2 3\", or a file of them", "generate.prompt_ids="},
      {"--chat", "", "Talk: a turn a line, the history stays in the cache; /reset, /exit",
       "generate.chat=true"},
      {"--document", "FILE", "Read this text first, then answer questions about it",
       "generate.document="},
      {"--question", "TEXT", "A question, in the form that the model was tuned on",
       "generate.question="},
      {"--ids", "", "Print token ids, not text", "generate.output=ids"}};
  tool.dash = "generate.prompt_file=-";
  return tool;
}

}  // namespace

int main(int argc, char** argv) { return lococo::run_tool(tool(), argc, argv); }
