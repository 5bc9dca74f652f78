// lococo-bench scaling.
#pragma once

#include "bench/report.h"
#include "config/config.h"
#include "setup/session.h"

namespace lococo {

/// A training step on random tokens in each of bench.layouts: replicas x stages, a rank of the
/// launcher for each; ranks that a layout has no use for wait. A replica takes bench.batch
/// sequences a step, in micro-batches of train.micro_batch, so with twice the replicas a step has
/// twice the tokens. Of each layout:
///
///   step                   from a barrier until the slowest rank is through
///   tokens per second      of all replicas
///   of as many times one rank  tokens/s against N times what rank 0 alone made in this run
///   collectives, messages  of a step, what a rank waits until the others come and the bytes have
///                          moved (CommunicationClock), the mean of the ranks. It holds waiting for
///                          slower ranks, and of messages the pipeline's bubble
///   communication, of the step  both, as a share of it
///   bubble, calculated     (P - 1) / (pieces + P - 1) of P stages that are equally fast; a piece
///                          is a block, or, of whole sequences, a micro-batch
///   bubble, measured       messages as a share of the step: the same if stages are equal and bytes
///                          cost nothing, and the optimizer neither
///   peak memory            of the rank that needs the most
///
/// A collective call. `report`: of rank 0, null on the others. A layout whose weights do not fit
/// says so; what does not fit in the middle of a step of several ranks ends all. Throws UserError
/// for layouts that there are too few ranks for, or that do not go with the config.
void bench_scaling(const Config& config, Session& session, Report* report);

}  // namespace lococo
