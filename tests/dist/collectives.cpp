#include "tests/dist/collectives.h"

#include <vector>

#include "tensor/kit/torch.h"
#include "tests/dist/check.h"

namespace lococo::testing {
namespace {

// What rank `rank` contributes: small tensors, one above the size that is packed, one that is not
// contiguous, and counts.
std::vector<torch::Tensor> contribution(int rank) {
  torch::manual_seed(17 + rank);
  return {torch::randn({3, 5}),
          torch::randn({}),
          torch::randn({1100, 1000}),
          torch::randn({4, 6}).t(),
          torch::zeros({0}),
          torch::tensor({int64_t{1} << 40, int64_t{-7}, int64_t{rank}}),
          torch::tensor(int64_t{123456789} * (rank + 1))};
}

void check_sums(Communicator& communicator, torch::Device device) {
  std::vector<torch::Tensor> tensors = contribution(communicator.rank());
  std::vector<torch::Tensor> expected = contribution(0);
  for (int rank = 1; rank < communicator.size(); ++rank) {
    const std::vector<torch::Tensor> others = contribution(rank);
    for (size_t i = 0; i < expected.size(); ++i) expected[i] = expected[i] + others[i];
  }
  for (torch::Tensor& tensor : tensors) tensor = tensor.to(device);
  const void* address = tensors[0].data_ptr();
  communicator.all_reduce_sum(tensors);
  DIST_CHECK(tensors[0].data_ptr() == address);  // in place
  for (size_t i = 0; i < expected.size(); ++i) {
    const torch::Tensor sum = tensors[i].cpu();
    // Counts and, on CPUs, sums in rank order are exact; NCCL chooses its own order.
    const bool exact = device.is_cpu() || sum.scalar_type() == torch::kInt64;
    DIST_CHECK(sum.sizes() == expected[i].sizes());
    DIST_CHECK(exact ? torch::equal(sum, expected[i])
                     : torch::allclose(sum, expected[i], 1e-5, 1e-6));
  }
}

// The two halves of a sum: each rank gets its part of it, then everybody's. Three million take
// several exchanges.
void check_parts(Communicator& communicator, torch::Device device) {
  const int size = communicator.size(), rank = communicator.rank();
  for (const int64_t part : {int64_t{1}, int64_t{40}, int64_t{3000000}}) {
    std::vector<torch::Tensor> of_rank;
    for (int other = 0; other < size; ++other) {
      torch::manual_seed(31 + other);
      of_rank.push_back(torch::randn({part * size}));
    }
    torch::Tensor expected = of_rank[0].clone();
    for (int other = 1; other < size; ++other) expected += of_rank[other];
    torch::Tensor flat = of_rank[rank].to(device, torch::kFloat32, false, /*copy=*/true);
    const void* address = flat.data_ptr();
    communicator.reduce_scatter_sum(flat);
    const torch::Tensor own = flat.narrow(0, rank * part, part).cpu();
    const torch::Tensor own_expected = expected.narrow(0, rank * part, part);
    DIST_CHECK(device.is_cpu() ? torch::equal(own, own_expected)
                               : torch::allclose(own, own_expected, 1e-5, 1e-6));
    communicator.all_gather(flat);
    DIST_CHECK(flat.data_ptr() == address);  // in place
    DIST_CHECK(torch::equal(flat.narrow(0, rank * part, part).cpu(), own));
    DIST_CHECK(device.is_cpu() ? torch::equal(flat, expected)
                               : torch::allclose(flat.cpu(), expected, 1e-5, 1e-6));
    torch::Tensor of_root = flat.clone();
    communicator.broadcast(of_root, 0);
    DIST_CHECK(torch::equal(of_root, flat));
    // On CPUs it is the very sum of all_reduce_sum.
    std::vector<torch::Tensor> whole = {of_rank[rank].clone().to(device)};
    communicator.all_reduce_sum(whole);
    DIST_CHECK(!device.is_cpu() || torch::equal(whole[0], flat));
  }
}

// Every rank must hold the same bits, or the ranks' models drift apart.
void check_same_bits(Communicator& communicator, torch::Device device) {
  std::vector<torch::Tensor> tensors = {torch::randn({2000, 1000}, device)};
  communicator.all_reduce_sum(tensors);
  torch::Tensor of_root = tensors[0].clone();
  communicator.broadcast(of_root, 0);
  DIST_CHECK(torch::equal(of_root, tensors[0]));
}

void check_gradients(Communicator& communicator, torch::Device device) {
  torch::Tensor weight = torch::ones({4}, device).set_requires_grad(true);
  (weight * (communicator.rank() + 1)).sum().backward();
  std::vector<torch::Tensor> tensors = {weight.grad()};
  communicator.all_reduce_sum(tensors);
  const int size = communicator.size();
  DIST_CHECK(weight.grad().min().item<float>() == static_cast<float>(size * (size + 1) / 2));
  torch::Tensor leaf = torch::full({4}, communicator.rank(), device).to(torch::kFloat32);
  leaf.set_requires_grad(true);
  communicator.broadcast(leaf, size - 1);
  DIST_CHECK(leaf.max().item<float>() == static_cast<float>(size - 1));
}

void check_broadcast(Communicator& communicator, torch::Device device) {
  const int last = communicator.size() - 1;
  for (auto dtype : {torch::kFloat32, torch::kBFloat16, torch::kInt64, torch::kUInt8}) {
    for (torch::Device place : {device, torch::Device(torch::kCPU)}) {
      torch::Tensor tensor = torch::full({5, 3}, communicator.rank() + 3, dtype).to(place).t();
      communicator.broadcast(tensor, last);
      DIST_CHECK(torch::equal(tensor.cpu(), torch::full({3, 5}, last + 3, dtype)));
    }
  }
  const std::string text = communicator.rank() == last ? "checkpoint-000010" : "";
  DIST_CHECK(communicator.broadcast_text(text, last) == "checkpoint-000010");
  DIST_CHECK(communicator.broadcast_text("", 0).empty());
}

// Both neighbours send first and receive then, in both directions at once; messages do not
// overtake each other.
void check_channels(Communicator& communicator, torch::Device device) {
  const int size = communicator.size(), rank = communicator.rank();
  const auto on = communicator.open_channel("rank"), back = communicator.open_channel("rank");
  constexpr int64_t kLarge = 1 << 20;  // more than anybody keeps for a receiver that is late
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
    const auto options = torch::dtype(dtype).device(device);
    std::vector<std::unique_ptr<Message>> sent;
    std::vector<torch::Tensor> kept;
    for (int round = 0; round < 3; ++round) {
      kept.push_back(torch::full({kLarge + round}, rank * 10 + round, options));
      if (rank + 1 < size) sent.push_back(on->send(kept.back(), rank + 1));
      if (rank > 0) sent.push_back(back->send(kept.back(), rank - 1));
    }
    for (int round = 0; round < 3; ++round) {
      const auto check = [&](Channel& channel, int from) {
        auto tensor = torch::zeros({kLarge + round}, options);
        channel.receive(tensor, from)->wait();
        DIST_CHECK(torch::equal(tensor, torch::full_like(tensor, from * 10 + round)));
      };
      if (rank > 0) check(*on, rank - 1);
      if (rank + 1 < size) check(*back, rank + 1);
    }
    for (const auto& message : sent) message->wait();
  }
}

// Even and odd ranks by themselves.
void check_split(Communicator& communicator, torch::Device device) {
  const int size = communicator.size(), rank = communicator.rank();
  const auto part = communicator.split(rank % 2);
  DIST_CHECK(part->rank() == rank / 2);
  DIST_CHECK(part->size() == (size + 1 - rank % 2) / 2);
  int64_t sum = 0;
  for (int other = rank % 2; other < size; other += 2) sum += other;
  DIST_CHECK(part->all_reduce_sum_int(rank) == sum);
  std::vector<torch::Tensor> tensors = {
      torch::full({3}, rank, torch::dtype(torch::kFloat32).device(device))};
  part->all_reduce_sum(tensors);
  DIST_CHECK(tensors[0].cpu()[2].item<float>() == static_cast<float>(sum));
  torch::Tensor tensor = torch::full({3}, rank, torch::dtype(torch::kFloat32).device(device));
  part->broadcast(tensor, 0);
  DIST_CHECK(tensor.cpu()[0].item<float>() == static_cast<float>(rank % 2));
  part->barrier();
}

void check_numbers(Communicator& communicator) {
  const int size = communicator.size(), rank = communicator.rank();
  DIST_CHECK(rank >= 0 && rank < size);
  DIST_CHECK(communicator.local_rank() < communicator.local_size());
  DIST_CHECK(communicator.all_reduce_sum_int(rank + 1) == size * (size + 1) / 2);
  DIST_CHECK(communicator.all_reduce_max_int(-rank) == 0);
  DIST_CHECK(communicator.all_reduce_max_int(rank) == size - 1);
  // Beyond 2^53 a double would lose the last digit of a count.
  std::vector<double> values = {0.5, -1.0};
  std::vector<int64_t> counts = {(int64_t{1} << 60) + rank, 1, -rank};
  communicator.all_reduce_sum_numbers(values, counts);
  const int64_t ranks_before = int64_t{size} * (size - 1) / 2;
  DIST_CHECK((values == std::vector<double>{0.5 * size, -1.0 * size}));
  DIST_CHECK((counts ==
              std::vector<int64_t>{(int64_t{1} << 60) * size + ranks_before, size, -ranks_before}));
}

}  // namespace

void check_collectives(Communicator& communicator, torch::Device device) {
  check_numbers(communicator);
  check_sums(communicator, device);
  check_parts(communicator, device);
  check_same_bits(communicator, device);
  check_gradients(communicator, device);
  check_broadcast(communicator, device);
  check_channels(communicator, device);
  check_split(communicator, device);
  communicator.barrier();
}

}  // namespace lococo::testing
