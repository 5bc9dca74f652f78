#include "dist/observed_communicator.h"

#include <cstdlib>
#include <numeric>
#include <utility>

namespace lococo {
namespace {

using Ranks = std::vector<int>;  ///< of the outermost observed communicator
using Observer = std::shared_ptr<WaitObserver>;

class ObservedMessage : public Message {
 public:
  ObservedMessage(std::unique_ptr<Message> message, std::string what, int rank, Observer observer)
      : message_(std::move(message)),
        what_(std::move(what)),
        ranks_{rank},
        observer_(std::move(observer)) {}

  // One that nobody has waited for waits at its end.
  ~ObservedMessage() override {
    if (waited_) return;
    const auto wait = observer_->begin(what_, ranks_, WaitFor::kNumbers);
    message_.reset();
  }

  void wait() override {
    if (waited_) return message_->wait();
    const auto wait = observer_->begin(what_, ranks_, WaitFor::kMessage);
    message_->wait();
    waited_ = true;
  }

 private:
  std::unique_ptr<Message> message_;
  std::string what_;
  Ranks ranks_;
  Observer observer_;
  bool waited_ = false;
};

class ObservedChannel : public Channel {
 public:
  ObservedChannel(std::unique_ptr<Channel> channel, Ranks members, Ranks others,
                  const std::string& called, Observer observer)
      : channel_(std::move(channel)),
        members_(std::move(members)),
        others_(std::move(others)),
        called_(called),
        observer_(std::move(observer)) {}
  ~ObservedChannel() override {
    const auto wait = observer_->begin("the end of a channel", others_, WaitFor::kNumbers);
    channel_.reset();
  }

  std::unique_ptr<Message> send(const torch::Tensor& tensor, int to) override {
    return observed("a message to ", to, channel_->send(tensor, to));
  }
  std::unique_ptr<Message> receive(torch::Tensor& tensor, int from) override {
    return observed("a message from ", from, channel_->receive(tensor, from));
  }

 private:
  std::unique_ptr<Message> observed(const char* way, int peer, std::unique_ptr<Message> message) {
    return std::make_unique<ObservedMessage>(std::move(message),
                                             way + called_ + " " + std::to_string(peer),
                                             members_[static_cast<size_t>(peer)], observer_);
  }

  std::unique_ptr<Channel> channel_;
  Ranks members_, others_;
  std::string called_;  ///< what a rank of this group is called
  Observer observer_;
};

class ObservedCommunicator : public Communicator {
 public:
  ObservedCommunicator(std::unique_ptr<Communicator> inner, Ranks members, Observer observer)
      : observer_(std::move(observer)),
        members_(std::move(members)),
        others_(members_),
        inner_(std::move(inner)) {
    others_.erase(others_.begin() + inner_->rank());
  }
  ~ObservedCommunicator() override {
    const auto wait = begin("the end of a group", WaitFor::kNumbers);
    inner_.reset();
  }

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  int local_rank() const override { return inner_->local_rank(); }
  int local_size() const override { return inner_->local_size(); }

  void all_reduce_sum(std::vector<torch::Tensor>& tensors) override {
    const auto wait = begin("a sum over ranks", WaitFor::kTensors);
    inner_->all_reduce_sum(tensors);
  }
  void reduce_scatter_sum(torch::Tensor& flat) override {
    const auto wait = begin("a sum over ranks", WaitFor::kTensors);
    inner_->reduce_scatter_sum(flat);
  }
  void all_gather(torch::Tensor& flat) override {
    const auto wait = begin("a gathering from ranks", WaitFor::kTensors);
    inner_->all_gather(flat);
  }
  int64_t all_reduce_sum_int(int64_t value) override {
    const auto wait = begin("a sum over ranks", WaitFor::kNumbers);
    return inner_->all_reduce_sum_int(value);
  }
  int64_t all_reduce_max_int(int64_t value) override {
    const auto wait = begin("a maximum over ranks", WaitFor::kNumbers);
    return inner_->all_reduce_max_int(value);
  }
  void all_reduce_sum_numbers(std::vector<double>& values, std::vector<int64_t>& counts) override {
    const auto wait = begin("a sum over ranks", WaitFor::kNumbers);
    inner_->all_reduce_sum_numbers(values, counts);
  }
  void broadcast(torch::Tensor& tensor, int root) override {
    const auto wait = begin("a broadcast", tensor.is_cpu() ? WaitFor::kNumbers : WaitFor::kTensors);
    inner_->broadcast(tensor, root);
  }
  std::string broadcast_text(const std::string& text, int root) override {
    const auto wait = begin("a broadcast", WaitFor::kNumbers);
    return inner_->broadcast_text(text, root);
  }
  void barrier() override {
    const auto wait = begin("a barrier", WaitFor::kNumbers);
    inner_->barrier();
  }

  std::unique_ptr<Communicator> split(int color) override {
    const auto wait = begin("a division into groups", WaitFor::kNumbers);
    auto part = inner_->split(color);
    // Each member of the part puts what it is called outside into its place.
    std::vector<double> none;
    std::vector<int64_t> ranks(static_cast<size_t>(part->size()), 0);
    ranks[static_cast<size_t>(part->rank())] = members_[static_cast<size_t>(rank())];
    if (part->size() > 1) part->all_reduce_sum_numbers(none, ranks);
    return std::make_unique<ObservedCommunicator>(std::move(part),
                                                  Ranks(ranks.begin(), ranks.end()), observer_);
  }

  std::unique_ptr<Channel> open_channel(const std::string& called) override {
    const auto wait = begin("the opening of a channel", WaitFor::kNumbers);
    return std::make_unique<ObservedChannel>(inner_->open_channel(called), members_, others_,
                                             called, observer_);
  }

  [[noreturn]] void abort(int code) override {
    inner_->abort(code);
    std::_Exit(code);  // not reached; compilers do not trust a virtual [[noreturn]]
  }

 private:
  std::shared_ptr<void> begin(const char* what, WaitFor kind) {
    return observer_->begin(what, others_, kind);
  }

  Observer observer_;       ///< gone last: it is told of the end too
  Ranks members_, others_;  ///< with and without this one
  std::unique_ptr<Communicator> inner_;
};

}  // namespace

std::unique_ptr<Communicator> observe_ranks(std::unique_ptr<Communicator> world,
                                            std::shared_ptr<WaitObserver> observer) {
  Ranks members(static_cast<size_t>(world->size()));
  std::iota(members.begin(), members.end(), 0);
  return std::make_unique<ObservedCommunicator>(std::move(world), std::move(members),
                                                std::move(observer));
}

}  // namespace lococo
