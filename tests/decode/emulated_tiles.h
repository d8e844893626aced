// SPDX-License-Identifier: Apache-2.0
// Runs the code of kernels_amx.cpp on processors without AMX: the instructions that these refuse
// are carried out by a handler of SIGILL, after their description in Intel's manual.
#pragma once

#include <csignal>

namespace vq::test {

/// Emulates tile instructions while it lives, on one thread at a time.
class EmulatedTiles {
public:
    EmulatedTiles();
    ~EmulatedTiles();
    EmulatedTiles(const EmulatedTiles&) = delete;
    EmulatedTiles& operator=(const EmulatedTiles&) = delete;

    /// Instructions carried out so far by any.
    static long instructions();

private:
    struct sigaction before_ = {};
};

}  // namespace vq::test
