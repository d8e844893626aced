// SPDX-License-Identifier: Apache-2.0
// vq bench gaussian: the distortion of every code family on Gaussian weights, and its speed.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "apps/common.h"
#include "apps/progress_bar.h"
#include "vq/layer/gaussian_bench.h"

namespace vq::apps {
namespace {

Answer run(GaussianBench bench, const Common& common) {
    bench.seed = common.seed;
    std::vector<GaussianResult> results;
    {
        ProgressBar bar(common, "codes");
        results = gaussian_bench(bench, bar.progress());
    }
    Answer answer;
    Json codes = Json::array();
    answer.text = fmt::format("{:<10} {:>6} {:>9} {:>9} {:>14}\n", "code", "bits", "rel. MSE",
                              "Shannon", "weights/s");
    for (const GaussianResult& r : results) {
        codes.push_back({{"code", r.code},
                         {"bits_per_weight", r.bits_per_weight},
                         {"rel_mse", r.rel_mse},
                         {"weights_per_second", r.weights_per_second}});
        answer.text += fmt::format("{:<10} {:>6.2f} {:>9.5f} {:>9.5f} {:>14}\n", r.code,
                                   r.bits_per_weight, r.rel_mse, std::exp2(-2 * r.bits_per_weight),
                                   format_count(r.weights_per_second));
    }
    answer.document = {{"codes", codes}, {"weights", bench.weights}};
    return answer;
}

}  // namespace

void add_bench_gaussian(CLI::App& bench, Invocation& invocation) {
    auto options = std::make_shared<GaussianBench>();
    CLI::App* command = add_command(
        bench, invocation, "gaussian",
        "distortion of every code on Gaussian weights that it was not trained on, and its speed",
        "vq bench gaussian --bits 2", "of the weights and of codebook training");
    command
        ->add_option("--code", options->code,
                     fmt::format("only this one of: {}", fmt::join(gaussian_bench_codes(), ", ")))
        ->type_name("NAME");
    command->add_option("--bits", options->bits, "only this whole number of bits a weight")
        ->check(CLI::Range(1, 4))
        ->type_name("B");
    command->add_option("--weights", options->weights, "held-out weights, about")
        ->check(CLI::Range(1.0, 1e9))
        ->capture_default_str()
        ->type_name("N");
    command->callback([options, &invocation] {
        invocation.run = [options, &invocation] { return run(*options, invocation.common); };
    });
}

}  // namespace vq::apps
