// SPDX-License-Identifier: Apache-2.0
// The program and the system it runs in: descriptors, signals, limits, messages to the user.
#pragma once

#include <string>
#include <string_view>

namespace vq::apps {

/// Opens whichever of standard input, output and error are closed on /dev/null: the next file that
/// is opened would take their number, and messages would be written into it. A reader of the
/// output that has gone, and a limit on the size of files, become errors of writing, not signals
/// that kill.
void prepare_process();

/// Writes to standard error. A message that cannot be written is dropped: a run of hours does not
/// end because the terminal has gone.
void say(std::string_view text);

/// OpenBLAS asks again and again for memory that it cannot have. Throws Error when `ulimit -v`
/// leaves less than the program needs with this many threads before it reads anything, else lets
/// OpenBLAS take its share now.
void reserve_blas_memory(int threads);

/// Ends the process without the libraries' own farewells: OpenBLAS waits for threads of its own
/// that may wait for memory.
[[noreturn]] void exit_at_once(int code);

}  // namespace vq::apps
