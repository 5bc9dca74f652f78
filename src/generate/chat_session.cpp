#include "generate/chat_session.h"

#include <algorithm>
#include <utility>

#include "core/elapsed.h"
#include "core/error.h"
#include "generate/answer_stream.h"

namespace lococo {

ChatSession::ChatSession(Decoder& decoder, const ChatPrompt& form, const Tokenizer& tokenizer,
                         ChatOptions options)
    : decoder_(decoder), form_(form), tokenizer_(tokenizer), options_(std::move(options)) {
  TORCH_CHECK(decoder.batch() == 1, "a conversation has one row");
  // The caches must not hold what is behind the end of an answer.
  options_.generation.check_every = 1;
  decoder_.reset();
}

void ChatSession::read_document(const Ids& context, const Decoder::OnBlock& on_block) {
  TORCH_CHECK(!has_turns_ && !after_document_, "a document comes first");
  check_room(static_cast<int64_t>(context.size()));
  read(context, on_block);
  document_ = context;
  after_document_ = decoder_.save();
}

ChatAnswer ChatSession::ask(const std::string& user,
                            const std::function<void(const std::string&)>& write,
                            const std::function<bool()>& is_over) {
  const Ids ids = turn(user);
  check_room(static_cast<int64_t>(ids.size()));
  const auto begin = steady_now();
  auto answer_begin = begin;
  const auto logits_BV = read(ids, [&](int64_t /*done*/) { answer_begin = steady_now(); });
  has_turns_ = true;

  // A stop text is noticed when its tokens have been read: they are taken back, answer and all.
  std::optional<DecoderSnapshot> before_answer;
  if (!options_.stop_texts.empty()) before_answer = decoder_.save();
  auto generation = options_.generation;
  std::string said;
  AnswerStream answer(&tokenizer_, ids, generation.end_tokens, options_.stop_texts,
                      [&, show = without_leading_blanks(write)](const std::string& piece) {
                        said += piece;
                        show(piece);
                      });
  generation.on_tokens = [&](const torch::Tensor& new_1T) { answer.take(new_1T); };
  generation.is_over = [&] { return answer.has_ended() || (is_over && is_over()); };
  if (options_.max_tokens) {
    generation.max_new_tokens =
        std::min(generation.max_new_tokens, *options_.max_tokens - position());
  }
  const auto made_1T = decode(decoder_, logits_BV, *sampler_, generation);
  answer.finish();
  const auto last = made_1T[0][-1].item<int64_t>();
  const auto& ends = generation.end_tokens;
  const bool is_closed = std::find(ends.begin(), ends.end(), last) != ends.end();
  pending_ = is_closed ? Ids() : Ids{static_cast<int32_t>(last)};
  unread_.clear();
  if (answer.is_stopped_by_text()) {
    decoder_.restore(*before_answer);
    pending_.clear();
    unread_ = said;
  }
  return {static_cast<int64_t>(ids.size()), seconds_between(begin, answer_begin), answer.count(),
          seconds_since(answer_begin), !answer.has_ended()};
}

void ChatSession::reset() {
  has_turns_ = false;
  pending_.clear();
  unread_.clear();
  if (sampler_) sampler_->forget();
  if (!after_document_) return decoder_.reset();
  decoder_.restore(*after_document_);
  sampler_->see(/*row=*/0, on_device(document_));
}

void ChatSession::check_room_for(const std::string& user) const {
  check_room(static_cast<int64_t>(turn(user).size()));
}

ChatSession::Ids ChatSession::turn(const std::string& user) const {
  if (!has_turns_) {
    return after_document_ ? form_.question_about_document(user)
                           : form_.first_turn(options_.system, user);
  }
  Ids ids = pending_;
  const Ids added = form_.next_turn(user, /*is_closed=*/false, /*answer=*/"", unread_);
  ids.insert(ids.end(), added.begin(), added.end());
  return ids;
}

void ChatSession::check_room(int64_t tokens) const {
  if (!options_.max_tokens || position() + tokens < *options_.max_tokens) return;
  throw UserError("the conversation has " + std::to_string(position()) + " tokens, and with " +
                  std::to_string(tokens) + " more it exceeds the " +
                  std::to_string(*options_.max_tokens) +
                  " that there is room for; begin anew, or use a cache.policy that compresses");
}

torch::Tensor ChatSession::read(const Ids& ids, const Decoder::OnBlock& on_block) {
  const auto tokens_T = on_device(ids);
  auto logits_BV = decoder_.extend({tokens_T}, on_block);
  if (!sampler_) {
    sampler_.emplace(options_.generation.sampling, /*batch=*/1, logits_BV.size(1),
                     decoder_.device());
  }
  sampler_->see(/*row=*/0, tokens_T);
  return logits_BV;
}

torch::Tensor ChatSession::on_device(const Ids& ids) const {
  return torch::tensor(ids, torch::kInt64).to(decoder_.device());
}

}  // namespace lococo
