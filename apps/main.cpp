// SPDX-License-Identifier: Apache-2.0
// The `vq` program: takes the command line apart, runs one subcommand, prints its answer or one
// line that says what went wrong. Exit code 0: done, 1: failed, 2: bad usage.
#include <fmt/format.h>
#include <omp.h>

#include <cstdio>
#include <new>

#include "apps/common.h"
#include "apps/lost_pages.h"
#include "apps/process.h"
#include "base/error.h"

namespace vq::apps {
namespace {

constexpr int exit_failed = 1;
constexpr int exit_bad_usage = 2;

/// One line, whatever the message holds. Behind lost pages any other message is a consequence.
int fail(std::string message) {
    if (pages_were_lost()) message = lost_pages_message();
    for (char& c : message)
        if (c == '\n' || c == '\r') c = ' ';
    say(fmt::format("error: {}\n", message));
    return exit_failed;
}

void print(const Invocation& invocation, const Answer& answer) {
    // A tokenizer may cut a character in two; JSON must stay valid UTF-8.
    const std::string out =
        invocation.common.json
            ? answer.document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"
            : answer.text;
    if (std::fwrite(out.data(), 1, out.size(), stdout) != out.size() || std::fflush(stdout) != 0)
        throw Error("cannot write the answer", "standard output",
                    "check that the disk is not full and the reader still runs");
}

int run(int argc, char** argv) {
    CLI::App app(
        "vqkit: compresses the weights of language models to 1.5-4 bits with vector "
        "codebooks, on CPUs.");
    app.name("vq");
    app.set_version_flag("--version", "vq " VQKIT_VERSION);
    app.require_subcommand(1);
    app.footer("`vq COMMAND --help` tells more.");

    Invocation invocation;
    for (int i = 0; i < argc; ++i) {
        if (i > 0) invocation.common.command += ' ';
        invocation.common.command += argv[i];
    }
    add_quantize(app, invocation);
    add_hessian(app, invocation);
    add_eval(app, invocation);
    add_sensitivity(app, invocation);
    add_compare(app, invocation);
    add_sweep(app, invocation);
    add_generate(app, invocation);
    add_inspect(app, invocation);
    add_verify(app, invocation);
    add_export(app, invocation);
    add_bench(app, invocation);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
        say(fmt::format("error: bad usage: {}: see `vq --help` or `vq COMMAND --help`\n",
                        error.what()));
        return exit_bad_usage;
    }

    if (invocation.common.threads > 0) omp_set_num_threads(invocation.common.threads);
    catch_interrupts();
    survive_lost_pages();
    seconds_since_start();
    try {
        reserve_blas_memory(omp_get_max_threads());
    } catch (const Error& error) {
        exit_at_once(fail(error.what()));
    }
    const Answer answer = invocation.run();
    if (pages_were_lost()) return fail({});
    print(invocation, answer);
    return answer.failure.empty() ? 0 : fail(answer.failure);
}

}  // namespace
}  // namespace vq::apps

int main(int argc, char** argv) {
    using vq::apps::fail;
    vq::apps::prepare_process();
    try {
        return vq::apps::run(argc, argv);
    } catch (const vq::Error& error) {
        return fail(error.what());
    } catch (const vq::Cancelled&) {
        return fail(
            "stopped by a signal: the run is not finished: start it again (`vq quantize "
            "--resume` goes on where it stopped)");
    } catch (const std::bad_alloc&) {
        vq::apps::exit_at_once(
            fail("out of memory: this machine: use fewer calibration tokens or a shorter --ctx, "
                 "or a machine with more memory"));
    } catch (const vq::InternalError& error) {
        return fail(std::string(error.what()) + ": please report it with the command line");
    } catch (const std::exception& error) {
        return fail(std::string("unexpected failure: ") + error.what() +
                    ": please report it with the command line");
    }
}
