// How a tool's CPU threads wait for each other.
#pragma once

#include "config/config.h"

namespace lococo {

/// Starts this program anew, once, with GOMP_SPINCOUNT=1000, unless the user has set that variable
/// or OMP_WAIT_POLICY, or the run has one CPU thread or names a GPU. Threads that spin while they
/// wait take the cores from the threads they wait for as soon as other work shares the machine
/// (several times slower); threads that sleep at once lose a third where it is quiet and loops are
/// short. A short spin loses a tenth in both cases. libgomp reads the variable when it is loaded,
/// before main(), so that only a new start can set it. To be called before the run has done or read
/// anything; returns where there is nothing to do or the start fails.
void wait_passively(const DistributedConfig& config);

}  // namespace lococo
