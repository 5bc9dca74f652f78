#include "tokenizer/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <new>

#include "core/error.h"

namespace lococo {
namespace {

std::string message_of(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
}

/// What a match needs and threads must not share.
class Workspace {
 public:
  Workspace()
      : data_(pcre2_match_data_create(1, nullptr)), context_(pcre2_match_context_create(nullptr)) {
    constexpr size_t kFirstBytes = size_t{32} << 10;
    constexpr size_t kMostBytes = size_t{8} << 20;
    stack_ = pcre2_jit_stack_create(kFirstBytes, kMostBytes, nullptr);
    if (data_ == nullptr || context_ == nullptr) throw std::bad_alloc();
    pcre2_jit_stack_assign(context_, nullptr, stack_);
  }
  ~Workspace() {
    pcre2_match_data_free(data_);
    pcre2_match_context_free(context_);
    pcre2_jit_stack_free(stack_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  pcre2_match_data* data() { return data_; }
  pcre2_match_context* context() { return context_; }

 private:
  pcre2_match_data* data_;
  pcre2_match_context* context_;
  pcre2_jit_stack* stack_ = nullptr;  ///< null where this machine has no compiler of patterns
};

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};

}  // namespace

struct Pattern::Impl {
  std::string text;  ///< for messages
  std::unique_ptr<pcre2_code, FreeCode> code;
};

Pattern::Pattern(const std::string& pattern) : impl_(std::make_unique<Impl>()) {
  int error = 0;
  size_t place = 0;
  // A line ends with \n alone whatever the library was built for; UCP: properties of Unicode.
  const std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  impl_->text = pattern;
  impl_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &place,
                                  context.get()));
  if (impl_->code == nullptr) {
    throw UserError("the pattern " + pattern +
                    " is no regular expression that can be used: " + message_of(error));
  }
  // Without the compiler (a processor that it does not know) the interpreter matches: slower.
  pcre2_jit_compile(impl_->code.get(), PCRE2_JIT_COMPLETE);
}

Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;

std::optional<Span> Pattern::find(std::string_view text, size_t from) const {
  thread_local Workspace workspace;
  const int found =
      pcre2_match(impl_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                  PCRE2_NO_UTF_CHECK, workspace.data(), workspace.context());
  if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (found < 0) {
    throw UserError("the pattern " + impl_->text + " of the tokenizer gives up on a text of " +
                    std::to_string(text.size()) + " bytes (" + message_of(found) +
                    "); split the text");
  }
  const size_t* const offsets = pcre2_get_ovector_pointer(workspace.data());
  return Span{offsets[0], offsets[1]};
}

}  // namespace lococo
