// SPDX-License-Identifier: Apache-2.0
// vq bench: measurements, one subcommand each.
#include "apps/common.h"

namespace vq::apps {

void add_bench(CLI::App& app, Invocation& invocation) {
    CLI::App* bench = app.add_subcommand("bench", "measures parts of vqkit on this machine");
    bench->require_subcommand(1);
    add_bench_gaussian(*bench, invocation);
    add_bench_kernels(*bench, invocation);
}

}  // namespace vq::apps
