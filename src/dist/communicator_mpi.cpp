#include "dist/communicator_mpi.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>

#ifdef LOCOCO_WITH_MPI
#define OMPI_SKIP_MPICXX 1  // the C interface only
#include <mpi.h>

#include "dist/communicator_mpi_channel.h"
#include "dist/communicator_mpi_sums.h"
#include "tensor/kit/torch.h"
#endif

namespace lococo {

#ifdef LOCOCO_WITH_MPI

namespace {

// Tensors with fewer elements share one buffer; larger ones are summed where they are.
constexpr int64_t kPackBelow = int64_t{1} << 20;
constexpr size_t kLargestMessage = size_t{1} << 30;

bool travels_alone(const torch::Tensor& tensor) {
  return tensor.scalar_type() == torch::kFloat32 && tensor.is_contiguous() &&
         tensor.numel() >= kPackBelow;
}

// The tensors one behind another, for one exchange.
torch::Tensor join(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> flat;
  for (const torch::Tensor& tensor : tensors) flat.push_back(tensor.detach().flatten());
  return torch::cat(flat);
}

// What join() made, back where it came from.
void part(const torch::Tensor& joined, const std::vector<torch::Tensor>& tensors) {
  int64_t offset = 0;
  for (const torch::Tensor& tensor : tensors) {
    tensor.detach().copy_(joined.narrow(0, offset, tensor.numel()).view(tensor.sizes()));
    offset += tensor.numel();
  }
}

void broadcast_bytes(void* data, size_t num_bytes, int root, MPI_Comm group) {
  char* next = static_cast<char*>(data);
  while (num_bytes > 0) {
    const size_t piece = std::min(num_bytes, kLargestMessage);
    MPI_Bcast(next, static_cast<int>(piece), MPI_BYTE, root, group);
    next += piece;
    num_bytes -= piece;
  }
}

ProcessRanks ask_mpi(MPI_Comm group) {
  ProcessRanks ranks;
  MPI_Comm_rank(group, &ranks.rank);
  MPI_Comm_size(group, &ranks.size);
  MPI_Comm host;
  MPI_Comm_split_type(group, MPI_COMM_TYPE_SHARED, ranks.rank, MPI_INFO_NULL, &host);
  MPI_Comm_rank(host, &ranks.local_rank);
  MPI_Comm_size(host, &ranks.local_size);
  MPI_Comm_free(&host);
  return ranks;
}

}  // namespace

bool built_with_mpi() { return true; }

bool mpi_is_running() {
  int started = 0, ended = 0;
  MPI_Initialized(&started);
  MPI_Finalized(&ended);
  return started && !ended;
}

ProcessRanks start_mpi() {
  int started = 0;
  MPI_Initialized(&started);
  if (!started) {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  }
  static const ProcessRanks ranks = ask_mpi(MPI_COMM_WORLD);
  return ranks;
}

std::vector<int64_t> mpi_all_gather(int64_t value, bool on_this_host) {
  MPI_Comm group = MPI_COMM_WORLD;
  if (on_this_host) {
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, start_mpi().rank, MPI_INFO_NULL,
                        &group);
  }
  int size = 0;
  MPI_Comm_size(group, &size);
  std::vector<int64_t> values(size);
  MPI_Allgather(&value, 1, MPI_INT64_T, values.data(), 1, MPI_INT64_T, group);
  if (on_this_host) MPI_Comm_free(&group);
  return values;
}

MpiGroup mpi_world(const ProcessRanks& ranks) {
  return {static_cast<int>(MPI_Comm_c2f(MPI_COMM_WORLD)), ranks, /*is_world=*/true};
}

MpiGroup split_group(const MpiGroup& group, int color) {
  MPI_Comm part;
  MPI_Comm_split(MPI_Comm_f2c(group.handle), color, group.ranks.rank, &part);
  return {static_cast<int>(MPI_Comm_c2f(part)), ask_mpi(part)};
}

MpiCommunicator::MpiCommunicator(const MpiGroup& group)
    : group_(group), exceptions_at_start_(std::uncaught_exceptions()) {}

MpiCommunicator::~MpiCommunicator() {
  if (is_unwinding()) return;  // both wait for the other ranks, which may never come
  if (group_.is_world) {
    MPI_Finalize();
  } else {
    MPI_Comm group = MPI_Comm_f2c(group_.handle);
    MPI_Comm_free(&group);
  }
}

bool MpiCommunicator::is_unwinding() const {
  return std::uncaught_exceptions() > exceptions_at_start_;
}

void MpiCommunicator::all_reduce_sum(std::vector<torch::Tensor>& tensors) {
  if (size() == 1) return;
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> floats, small, counts;
  for (torch::Tensor& tensor : tensors) {
    const bool is_count = tensor.scalar_type() == torch::kInt64;
    TORCH_CHECK(is_count || tensor.scalar_type() == torch::kFloat32,
                "all_reduce_sum takes float32 and int64, not ", tensor.scalar_type());
    if (is_count) {
      counts.push_back(tensor);
    } else if (travels_alone(tensor)) {
      floats.push_back(tensor.detach());
    } else {
      small.push_back(tensor);
    }
  }
  if (!small.empty()) floats.push_back(join(small));
  if (!floats.empty()) sum_buffers(floats);
  if (!small.empty()) part(floats.back(), small);
  if (counts.empty()) return;
  std::vector<torch::Tensor> joined = {join(counts)};
  sum_buffers(joined);
  part(joined.front(), counts);
}

void MpiCommunicator::sum_buffers(std::vector<torch::Tensor>& buffers) {
  for (torch::Tensor& buffer : buffers) {
    torch::Tensor host = buffer.cpu();  // the same tensor when it is there already
    mpi_sum(host, size(), group_.handle);
    if (!buffer.is_cpu()) buffer.copy_(host);
  }
}

int64_t MpiCommunicator::part_length(const torch::Tensor& flat) const {
  TORCH_CHECK(flat.dim() == 1 && flat.is_contiguous() && flat.scalar_type() == torch::kFloat32 &&
                  flat.numel() % size() == 0,
              "a tensor of equal parts is flat, contiguous, float32 and divisible by ", size(),
              " ranks, not ", flat.sizes(), " ", flat.scalar_type());
  return flat.numel() / size();
}

void MpiCommunicator::reduce_scatter_sum(torch::Tensor& flat) {
  const int64_t part = part_length(flat);
  if (size() == 1 || part == 0) return;
  torch::NoGradGuard no_grad;
  const torch::Tensor host = flat.cpu();  // the same tensor when it is there already
  mpi_sum_own_part(host.data_ptr<float>(), part, rank(), size(), group_.handle);
  const int64_t own = rank() * part;
  if (!flat.is_cpu()) flat.narrow(0, own, part).copy_(host.narrow(0, own, part));
}

void MpiCommunicator::all_gather(torch::Tensor& flat) {
  const int64_t part = part_length(flat);
  if (size() == 1 || part == 0) return;
  torch::NoGradGuard no_grad;
  const torch::Tensor host = flat.cpu();
  mpi_gather_parts(host.data_ptr<float>(), part, rank(), size(), group_.handle);
  if (!flat.is_cpu()) flat.copy_(host);
}

int64_t MpiCommunicator::all_reduce_sum_int(int64_t value) {
  int64_t result = 0;
  MPI_Allreduce(&value, &result, 1, MPI_INT64_T, MPI_SUM, MPI_Comm_f2c(group_.handle));
  return result;
}

int64_t MpiCommunicator::all_reduce_max_int(int64_t value) {
  int64_t result = 0;
  MPI_Allreduce(&value, &result, 1, MPI_INT64_T, MPI_MAX, MPI_Comm_f2c(group_.handle));
  return result;
}

void MpiCommunicator::all_reduce_sum_numbers(std::vector<double>& values,
                                             std::vector<int64_t>& counts) {
  // Counts travel as the bits of doubles, so that one gathering is enough. Gathered and not
  // reduced: MPI may add in any order.
  const size_t mine = values.size() + counts.size();
  std::vector<double> sent = values;
  for (const int64_t count : counts) sent.push_back(std::bit_cast<double>(count));
  std::vector<double> all(mine * static_cast<size_t>(size()));
  const int number = static_cast<int>(mine);
  MPI_Allgather(sent.data(), number, MPI_DOUBLE, all.data(), number, MPI_DOUBLE,
                MPI_Comm_f2c(group_.handle));
  std::fill(values.begin(), values.end(), 0.0);
  std::fill(counts.begin(), counts.end(), int64_t{0});
  for (size_t first = 0; first < all.size(); first += mine) {
    for (size_t i = 0; i < values.size(); ++i) values[i] += all[first + i];
    for (size_t i = 0; i < counts.size(); ++i)
      counts[i] += std::bit_cast<int64_t>(all[first + values.size() + i]);
  }
}

void MpiCommunicator::broadcast(torch::Tensor& tensor, int root) {
  torch::NoGradGuard no_grad;
  torch::Tensor host = tensor.detach().cpu().contiguous();
  uint64_t num_bytes = host.nbytes();
  MPI_Bcast(&num_bytes, 1, MPI_UINT64_T, root, MPI_Comm_f2c(group_.handle));
  TORCH_CHECK(num_bytes == host.nbytes(), "broadcast: rank ", root, " sends ", num_bytes,
              " bytes, rank ", rank(), " has a tensor of ", host.nbytes());
  broadcast_bytes(host.data_ptr(), num_bytes, root, MPI_Comm_f2c(group_.handle));
  if (host.data_ptr() != tensor.data_ptr()) tensor.detach().copy_(host);
}

std::string MpiCommunicator::broadcast_text(const std::string& text, int root) {
  uint64_t num_bytes = text.size();
  MPI_Bcast(&num_bytes, 1, MPI_UINT64_T, root, MPI_Comm_f2c(group_.handle));
  std::string result = rank() == root ? text : std::string(num_bytes, '\0');
  broadcast_bytes(result.data(), num_bytes, root, MPI_Comm_f2c(group_.handle));
  return result;
}

void MpiCommunicator::barrier() { MPI_Barrier(MPI_Comm_f2c(group_.handle)); }

std::unique_ptr<Communicator> MpiCommunicator::split(int color) {
  const MpiGroup part = split_group(group_, color);
  return std::make_unique<MpiCommunicator>(part);
}

std::unique_ptr<Channel> MpiCommunicator::open_channel(const std::string&) {
  return make_mpi_channel(group_);
}

void MpiCommunicator::abort(int code) {
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);  // MPI_Abort may return on some systems
}

std::unique_ptr<Communicator> make_mpi_communicator(const ProcessRanks& ranks) {
  return std::make_unique<MpiCommunicator>(mpi_world(ranks));
}

#else  // join_ranks refuses several processes, so a call of the last three is our own bug

bool built_with_mpi() { return false; }
bool mpi_is_running() { return false; }

ProcessRanks start_mpi() { throw std::logic_error("built without MPI"); }
std::vector<int64_t> mpi_all_gather(int64_t, bool) { throw std::logic_error("built without MPI"); }
std::unique_ptr<Communicator> make_mpi_communicator(const ProcessRanks&) {
  throw std::logic_error("built without MPI");
}

#endif

}  // namespace lococo
