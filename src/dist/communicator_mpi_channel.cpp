#include "dist/communicator_mpi_channel.h"

#ifdef LOCOCO_WITH_MPI
#define OMPI_SKIP_MPICXX 1  // the C interface only
#include <mpi.h>

#include <algorithm>
#include <exception>
#include <vector>

#include "tensor/kit/torch.h"

namespace lococo {
namespace {

constexpr size_t kLargestPiece = size_t{1} << 30;

/// Several pieces, because MPI counts bytes in an int; they overtake no other.
class MpiMessage : public Message {
 public:
  ~MpiMessage() override { complete(); }
  void wait() override {
    complete();
    if (arrived_.defined()) arrived_.copy_(host_);
    arrived_ = torch::Tensor();
  }

  /// `host` is given piece by piece to `start`; `arrived`: where it has to be copied in the end.
  template <typename Start>
  MpiMessage(const torch::Tensor& host, const torch::Tensor& arrived, const Start& start)
      : host_(host), arrived_(arrived) {
    auto* next = static_cast<char*>(host_.data_ptr());
    for (size_t left = host_.nbytes(); left > 0;) {
      const size_t piece = std::min(left, kLargestPiece);
      requests_.push_back(MPI_REQUEST_NULL);
      start(next, static_cast<int>(piece), &requests_.back());
      next += piece;
      left -= piece;
    }
  }

 private:
  void complete() {
    // An exception ends the run, and the other side may never come.
    if (requests_.empty() || std::uncaught_exceptions() > 0) return;
    MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
    requests_.clear();
  }

  torch::Tensor host_;  ///< whose memory MPI has
  torch::Tensor arrived_;
  std::vector<MPI_Request> requests_;
};

class MpiChannel : public Channel {
 public:
  explicit MpiChannel(const MpiGroup& group) { MPI_Comm_dup(MPI_Comm_f2c(group.handle), &group_); }
  ~MpiChannel() override {
    if (std::uncaught_exceptions() == 0) MPI_Comm_free(&group_);
  }
  MpiChannel(const MpiChannel&) = delete;
  MpiChannel& operator=(const MpiChannel&) = delete;

  std::unique_ptr<Message> send(const torch::Tensor& tensor, int to) override {
    TORCH_CHECK(tensor.is_contiguous(), "a message is contiguous");
    return std::make_unique<MpiMessage>(
        tensor.detach().cpu(), torch::Tensor(), [&](char* piece, int bytes, MPI_Request* request) {
          MPI_Isend(piece, bytes, MPI_BYTE, to, /*tag=*/0, group_, request);
        });
  }

  std::unique_ptr<Message> receive(torch::Tensor& tensor, int from) override {
    TORCH_CHECK(tensor.is_contiguous(), "a message is contiguous");
    const bool here = tensor.is_cpu();
    const auto host = here ? tensor : torch::empty_like(tensor, torch::device(torch::kCPU));
    return std::make_unique<MpiMessage>(
        host, here ? torch::Tensor() : tensor, [&](char* piece, int bytes, MPI_Request* request) {
          MPI_Irecv(piece, bytes, MPI_BYTE, from, /*tag=*/0, group_, request);
        });
  }

 private:
  MPI_Comm group_ = MPI_COMM_NULL;
};

}  // namespace

std::unique_ptr<Channel> make_mpi_channel(const MpiGroup& group) {
  return std::make_unique<MpiChannel>(group);
}

}  // namespace lococo

#endif
