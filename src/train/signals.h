// Save and stop on signals.
#pragma once

#include <optional>

namespace lococo {

/// SIGINT, SIGTERM, SIGHUP and SIGUSR1 then only set a flag, which the trainer reads at the end of
/// a step and, once all ranks know of it, saves and stops. A second SIGINT or SIGTERM ends the
/// process at once with 128 + its number; checkpoints are renamed when complete, so none is left
/// half-written. SIGUSR1 may be repeated (launcher and scheduler may both deliver it), and so may
/// SIGHUP (shell and kernel may both send it); a SIGHUP that nohup ignores stays ignored. SIGXFSZ
/// is ignored: a file that grows too large becomes an error of the write.
///
/// Under mpirun: mpirun passes SIGUSR1 on to all ranks and lives on, so `kill -USR1 PID-OF-MPIRUN`
/// saves and stops. SIGTERM and SIGINT to mpirun reach the ranks too, but Open MPI follows them by
/// SIGKILL a second later unless it was started with `--mca odls_base_sigkill_timeout SECONDS`.
void install_signal_handlers();

/// Signals end the process again, as before install_signal_handlers(): for work that nothing needs
/// to be saved of.
void restore_signal_handlers();

/// The first signal that arrived since installing, if any.
std::optional<int> pending_signal();

/// Exit code of a process that a signal asked to save and stop, as shells report it: 128 + its
/// number; for SIGUSR1 that of SIGTERM, so that a launcher sees one code for both.
int exit_code_of(int signal);

/// Forgets what arrived.
void clear_pending_signal();

}  // namespace lococo
