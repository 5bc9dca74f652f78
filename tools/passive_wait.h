// How a tool's CPU threads wait for each other.
#pragma once

#include "config/config.h"

namespace lococo {

/// Starts this program anew, once, with OMP_WAIT_POLICY=PASSIVE, unless the user has set that
/// variable or the run has one CPU thread or names a GPU. Threads that spin while they wait take
/// the cores from the threads they wait for as soon as other work shares the machine (several times
/// slower); where it is quiet sleeping costs nothing that can be measured. libgomp reads the
/// variable when it is loaded, before main(), so that only a new start can set it. To be called
/// before the run has done or read anything; returns where there is nothing to do or the start
/// fails.
void wait_passively(const DistributedConfig& config);

}  // namespace lococo
