// One thread block owns a tile of keys of one group and walks over the query rows that see any of
// them. The product is transposed, S^T = K Q^T: keys are its rows, so a key's sum over queries runs
// along a row and stays in the registers of four lanes until the end.

#include <cuda_runtime.h>

#include <cmath>

#include "tensor/attention/column_mass_kernel.h"
#include "tensor/kit/tensor_core.cuh"

namespace lococo {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kWarpKeys = 32;   // two 16-row matrices, kept in registers for the whole walk
constexpr int kQueryTile = 64;  // double buffered
constexpr float kLog2E = 1.44269504088896f;

struct Bfloat16 {
  uint16_t bits;
};

/// 16 more bytes a row put the eight rows of an 8 x 8 matrix into different banks.
constexpr int row_length(int head_dim) { return head_dim + 8; }

/// The query rows that one key tile meets: those of every head of the group, from the first query
/// that sees the tile's first key.
struct QueryRows {
  __device__ QueryRows(const ColumnMassArguments& x, int b, int g, int first_key)
      : heads(x.H / x.G),
        first_head(g * heads),
        first_query(max(0, first_key - (x.S - x.L))),
        queries(x.L - first_query),
        count(heads * queries),
        q(static_cast<const Bfloat16*>(x.q) + b * x.q_strides[0]),
        lse(x.lse + static_cast<int64_t>(b) * x.H * x.L) {}

  __device__ int head(int row) const { return first_head + row / queries; }
  __device__ int query(int row) const { return first_query + row % queries; }

  int heads, first_head, first_query, queries, count;
  const Bfloat16* q;
  const float* lse;
};

template <int kHeadDim, int kKeyTile>
struct Tiles {
  static constexpr int kRow = row_length(kHeadDim);
  alignas(16) Bfloat16 keys[kKeyTile * kRow];
  alignas(16) Bfloat16 queries[2][kQueryTile * kRow];
  float lse[2][kQueryTile];           ///< times log2(e); infinite for the rows after the last
  int last_key[2][kQueryTile];        ///< that counts for the row, from the tile's first key
  float partial[kWarps * kWarpKeys];  ///< [warps along queries, kKeyTile]
};

/// What one thread writes about one row of a query tile: read early, so that the wait is hidden,
/// and stored late.
struct RowInfo {
  __device__ RowInfo(const ColumnMassArguments& x, const QueryRows& rows, int row, int first_key) {
    if (row >= rows.count) return;
    const int query = rows.query(row);
    lse = rows.lse[static_cast<int64_t>(rows.head(row)) * x.L + query] * kLog2E;
    last_key = x.S - x.L + query - x.distance - first_key;
  }
  float lse = INFINITY;
  int last_key = 0;
};

template <int kHeadDim, int kKeyTile>
__device__ void load_keys(Tiles<kHeadDim, kKeyTile>& tiles, const ColumnMassArguments& x, int b,
                          int g, int first_key) {
  constexpr int kPieces = kHeadDim / 8;
  const Bfloat16* k = static_cast<const Bfloat16*>(x.k) + b * x.k_strides[0] + g * x.k_strides[1];
  for (int i = threadIdx.x; i < kKeyTile * kPieces; i += kThreads) {
    const int row = i / kPieces, piece = i % kPieces;
    const bool valid = first_key + row < x.S;
    const int64_t key = valid ? first_key + row : first_key;
    copy_async_16(tiles.keys + row * tiles.kRow + piece * 8, k + key * x.k_strides[2] + piece * 8,
                  valid);
  }
}

template <int kHeadDim, int kKeyTile>
__device__ void load_queries(Tiles<kHeadDim, kKeyTile>& tiles, const ColumnMassArguments& x,
                             const QueryRows& rows, int tile) {
  constexpr int kPieces = kHeadDim / 8;
  Bfloat16* stage = tiles.queries[tile % 2];
  for (int i = threadIdx.x; i < kQueryTile * kPieces; i += kThreads) {
    const int piece = i % kPieces;
    const int row = tile * kQueryTile + i / kPieces;
    const bool valid = row < rows.count;
    const int source = valid ? row : 0;
    copy_async_16(stage + i / kPieces * tiles.kRow + piece * 8,
                  rows.q + rows.head(source) * x.q_strides[1] +
                      rows.query(source) * x.q_strides[2] + piece * 8,
                  valid);
  }
}

/// Adds the probabilities of 16 query rows for this warp's 32 keys to the sums. `column`: the first
/// of the rows within the tile.
template <int kHeadDim, int kKeyTile>
__device__ void add_rows(float (&sum)[2][2], const uint32_t (&keys)[2][kHeadDim / 16][4],
                         const Tiles<kHeadDim, kKeyTile>& tiles, int stage, int column,
                         int warp_key, float scale, bool masked) {
  const int lane = threadIdx.x % 32;
  float score[2][2][4] = {};  // [16 keys each][8 rows each]
  // Lanes address: rows 0-7 at depth 0 and 8, then rows 8-15 at depth 0 and 8.
  const Bfloat16* lane_row =
      tiles.queries[stage] + (column + lane / 16 * 8 + lane % 8) * tiles.kRow + lane / 8 % 2 * 8;
#pragma unroll
  for (int step = 0; step < kHeadDim / 16; ++step) {
    uint32_t rows[4];
    load_matrices(rows, lane_row + step * 16);
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      multiply_add(score[m][0], keys[m][step], rows[0], rows[1]);
      multiply_add(score[m][1], keys[m][step], rows[2], rows[3]);
    }
  }
#pragma unroll
  for (int n = 0; n < 2; ++n) {
#pragma unroll
    for (int right = 0; right < 2; ++right) {
      const int row = column + n * 8 + lane % 4 * 2 + right;
      const float lse = tiles.lse[stage][row];
      const int last_key = masked ? tiles.last_key[stage][row] : kKeyTile;
#pragma unroll
      for (int m = 0; m < 2; ++m) {
#pragma unroll
        for (int lower = 0; lower < 2; ++lower) {
          const float p = fast_exp2(score[m][n][lower * 2 + right] * scale - lse);
          const int key = warp_key + m * 16 + lower * 8 + lane / 4;
          sum[m][lower] += key <= last_key ? p : 0.0f;
        }
      }
    }
  }
}

/// Adds each key's sums over lanes and warps, in a fixed order, and writes its mass.
template <int kHeadDim, int kKeyTile>
__device__ void write_mass(Tiles<kHeadDim, kKeyTile>& tiles, float (&sum)[2][2],
                           const ColumnMassArguments& x, int64_t group, int first_key) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int lower = 0; lower < 2; ++lower) {
      float total = sum[m][lower];
      total += __shfl_xor_sync(0xffffffffu, total, 1);
      total += __shfl_xor_sync(0xffffffffu, total, 2);
      // Warp w has the keys of warp w % (kKeyTile / 32), so this is [warps along queries,
      // kKeyTile].
      if (lane % 4 == 0) tiles.partial[warp * kWarpKeys + m * 16 + lower * 8 + lane / 4] = total;
    }
  }
  __syncthreads();
  const int key = first_key + threadIdx.x;
  if (threadIdx.x >= kKeyTile || key >= x.S) return;
  float mass = 0.0f;
  for (int i = threadIdx.x; i < kWarps * kWarpKeys; i += kKeyTile) mass += tiles.partial[i];
  if (key < x.M) mass += x.prior[group * x.M + key];
  x.mass[group * x.S + key] = mass;
}

template <int kHeadDim, int kKeyTile>
__global__ void __launch_bounds__(kThreads, 2) column_mass_kernel(ColumnMassArguments x) {
  extern __shared__ uint4 dynamic_shared[];
  auto& tiles = *reinterpret_cast<Tiles<kHeadDim, kKeyTile>*>(dynamic_shared);
  const int b = blockIdx.x / x.G, g = blockIdx.x % x.G, first_key = blockIdx.y * kKeyTile;
  const QueryRows rows(x, b, g, first_key);
  const int tile_count = (rows.count + kQueryTile - 1) / kQueryTile;
  load_keys(tiles, x, b, g, first_key);
  load_queries(tiles, x, rows, 0);
  if (threadIdx.x < kQueryTile) {
    const RowInfo info(x, rows, threadIdx.x, first_key);
    tiles.lse[0][threadIdx.x] = info.lse;
    tiles.last_key[0][threadIdx.x] = info.last_key;
  }
  wait_copies();
  __syncthreads();

  constexpr int kQueryWarps = kWarps * kWarpKeys / kKeyTile;
  constexpr int kWarpRows = kQueryTile / kQueryWarps;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int warp_key = warp % (kKeyTile / kWarpKeys) * kWarpKeys;
  const int warp_row = warp / (kKeyTile / kWarpKeys) * kWarpRows;
  uint32_t keys[2][kHeadDim / 16][4];
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int step = 0; step < kHeadDim / 16; ++step)
      load_matrices(keys[m][step], tiles.keys + (warp_key + m * 16 + lane % 16) * tiles.kRow +
                                       step * 16 + lane / 16 * 8);
  }
  // The keys of a tile far enough before the first query count for every query.
  const bool masked = first_key + kKeyTile - 1 > x.S - x.L - x.distance;
  const float scale = x.scale * kLog2E;
  float sum[2][2] = {};
  for (int tile = 0; tile < tile_count; ++tile) {
    // The other stage was read before the last barrier.
    const int stage = tile % 2, next = tile + 1;
    if (next < tile_count) load_queries(tiles, x, rows, next);
    const RowInfo info(x, rows, next * kQueryTile + threadIdx.x % kQueryTile, first_key);
#pragma unroll
    for (int row = 0; row < kWarpRows; row += 16)
      add_rows(sum, keys, tiles, stage, warp_row + row, warp_key, scale, masked);
    if (threadIdx.x < kQueryTile) {
      tiles.lse[next % 2][threadIdx.x] = info.lse;
      tiles.last_key[next % 2][threadIdx.x] = info.last_key;
    }
    wait_copies();
    __syncthreads();
  }
  write_mass(tiles, sum, x, blockIdx.x, first_key);
}

template <int kHeadDim, int kKeyTile>
void launch(const ColumnMassArguments& x, CUstream_st* stream) {
  constexpr int kBytes = sizeof(Tiles<kHeadDim, kKeyTile>);
  const auto kernel = column_mass_kernel<kHeadDim, kKeyTile>;
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  // Groups are the fast axis: the first key tiles, which meet the most queries, start first.
  const dim3 grid(x.B * x.G, (x.S + kKeyTile - 1) / kKeyTile);
  kernel<<<grid, kThreads, kBytes, stream>>>(x);
}

template <int kHeadDim>
void launch_for_head(const ColumnMassArguments& x, CUstream_st* stream) {
  // Wide tiles read each query less often; narrow ones fill the GPU when there are few groups.
  constexpr int64_t kEnoughBlocks = 128;
  const int64_t wide_blocks = static_cast<int64_t>(x.B) * x.G * ((x.S + 127) / 128);
  if (wide_blocks >= kEnoughBlocks)
    launch<kHeadDim, 128>(x, stream);
  else
    launch<kHeadDim, 64>(x, stream);
}

}  // namespace

void launch_column_mass(const ColumnMassArguments& x, CUstream_st* stream) {
  switch (x.D) {
    case 16:
      return launch_for_head<16>(x, stream);
    case 32:
      return launch_for_head<32>(x, stream);
    case 48:
      return launch_for_head<48>(x, stream);
    case 64:
      return launch_for_head<64>(x, stream);
    case 80:
      return launch_for_head<80>(x, stream);
    case 96:
      return launch_for_head<96>(x, stream);
    case 112:
      return launch_for_head<112>(x, stream);
    case 128:
      return launch_for_head<128>(x, stream);
  }
}

}  // namespace lococo
