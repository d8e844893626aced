// SPDX-License-Identifier: Apache-2.0
// vq bench: measurements, one subcommand each.
#include "apps/common.h"

namespace vq::apps {

void add_bench(CLI::App& app, Session& session) {
    CLI::App* bench = app.add_subcommand("bench", "measures parts of vqkit on this machine");
    bench->require_subcommand(1);
    add_bench_gaussian(*bench, session);
    add_bench_kernels(*bench, session);
}

}  // namespace vq::apps
