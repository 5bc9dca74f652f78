#include "dist/communicator_mpi_sums.h"

#ifdef LOCOCO_WITH_MPI
#define OMPI_SKIP_MPICXX 1  // the C interface only
#include <mpi.h>

#include <algorithm>
#include <vector>

#include "tensor/kit/torch.h"

namespace lococo {
namespace {

// Elements that one exchange sums: bounds its scratch memory and keeps counts within an int.
constexpr int64_t kPiece = int64_t{1} << 22;

// Of the `part` numbers that each of `size` ranks has for this one, the sums in rank order, at the
// beginning of `received`. `sent`: those for all ranks, one behind the other.
template <typename Number>
void sum_own_part(const std::vector<Number>& sent, std::vector<Number>& received, int64_t part,
                  int size, MPI_Datatype type, MPI_Comm group) {
  MPI_Alltoall(sent.data(), static_cast<int>(part), type, received.data(), static_cast<int>(part),
               type, group);
  for (int rank = 1; rank < size; ++rank) {
    const Number* other = received.data() + rank * part;
    for (int64_t i = 0; i < part; ++i) received[i] += other[i];
  }
}

// Sums `count` numbers over `size` ranks in rank order: everybody adds up one part of the numbers
// and hands it round. It moves as many bytes as any all-reduce, but its order is known.
template <typename Number>
void sum_piece(Number* values, int64_t count, int size, MPI_Datatype type, MPI_Comm group) {
  const int64_t part = (count + size - 1) / size;
  std::vector<Number> sent(part * size, Number{0}), received(part * size);
  std::copy(values, values + count, sent.begin());
  sum_own_part(sent, received, part, size, type, group);
  MPI_Allgather(received.data(), static_cast<int>(part), type, sent.data(), static_cast<int>(part),
                type, group);
  std::copy(sent.begin(), sent.begin() + count, values);
}

template <typename Number>
void sum_host(const torch::Tensor& host, int size, MPI_Datatype type, MPI_Comm group) {
  for (int64_t start = 0; start < host.numel(); start += kPiece) {
    sum_piece(host.data_ptr<Number>() + start, std::min(kPiece, host.numel() - start), size, type,
              group);
  }
}

}  // namespace

void mpi_sum(const torch::Tensor& host, int size, int group) {
  if (host.scalar_type() == torch::kInt64) {
    sum_host<int64_t>(host, size, MPI_INT64_T, MPI_Comm_f2c(group));
  } else {
    sum_host<float>(host, size, MPI_FLOAT, MPI_Comm_f2c(group));
  }
}

// A piece of every part at a time bounds the scratch memory.
void mpi_sum_own_part(float* values, int64_t part, int rank, int size, int group) {
  const int64_t most = std::max<int64_t>(1, kPiece / size);
  for (int64_t start = 0; start < part; start += most) {
    const int64_t length = std::min(most, part - start);
    std::vector<float> sent(length * size), received(length * size);
    for (int other = 0; other < size; ++other) {
      std::copy_n(values + other * part + start, length, sent.begin() + other * length);
    }
    sum_own_part(sent, received, length, size, MPI_FLOAT, MPI_Comm_f2c(group));
    std::copy_n(received.begin(), length, values + rank * part + start);
  }
}

void mpi_gather_parts(float* values, int64_t part, int rank, int size, int group) {
  const int64_t most = std::max<int64_t>(1, kPiece / size);
  for (int64_t start = 0; start < part; start += most) {
    const int64_t length = std::min(most, part - start);
    std::vector<float> received(length * size);
    MPI_Allgather(values + rank * part + start, static_cast<int>(length), MPI_FLOAT,
                  received.data(), static_cast<int>(length), MPI_FLOAT, MPI_Comm_f2c(group));
    for (int other = 0; other < size; ++other) {
      std::copy_n(received.begin() + other * length, length, values + other * part + start);
    }
  }
}

}  // namespace lococo

#endif
