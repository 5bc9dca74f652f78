#pragma once

namespace lococo::testing {

/// Runs the Catch2 session of this executable and prints, as the last line,
/// "N passed, N failed, N skipped" (test cases).
/// Returns 0, or 4 when every test case that ran was skipped, else Catch2's exit code.
/// A main of one's own (one that starts MPI first, say) calls this.
int run_catch_session(int argc, char** argv);

}  // namespace lococo::testing
