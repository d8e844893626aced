// SPDX-License-Identifier: Apache-2.0
// What is shown while a run goes on.
#include <gmock/gmock.h>
#include <pty.h>

#include "tests/apps/run_vq.h"

namespace vq::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> noisy_quantize(const std::string& model, const std::string& store) {
    auto arguments = quick_quantize(model, store);
    arguments.erase(std::find(arguments.begin(), arguments.end(), "--quiet"));
    return arguments;
}

TEST(Progress, TerminalShowsALiveBarThatIsTakenAway) {
    const TempFolder folder;
    one_block_model(folder / "model");
    int terminal = -1;
    const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
    ASSERT_GE(child, 0);
    if (child == 0) {
        const auto arguments = noisy_quantize(folder / "model", folder / "out.vq.h5");
        std::vector<char*> argv = {const_cast<char*>("vq")};
        for (const std::string& argument : arguments)
            argv.push_back(const_cast<char*>(argument.c_str()));
        argv.push_back(nullptr);
        execv(VQ_PROGRAM, argv.data());
        _exit(127);
    }
    std::string shown;
    char buffer[4096];
    for (ssize_t n = 0; (n = read(terminal, buffer, sizeof(buffer))) > 0;)
        shown.append(buffer, static_cast<std::size_t>(n));
    close(terminal);
    EXPECT_EQ(wait_for(child), 0) << shown;
    EXPECT_THAT(shown, ContainsRegex("\r\x1b\\[K\\[#*\\.*\\] +[0-9.]+% .*elapsed"));
    const std::size_t last_bar = shown.rfind("elapsed");
    EXPECT_NE(shown.find("\r\x1b[K", last_bar), std::string::npos) << "the bar is left standing";
}

TEST(Progress, LogHasNoControlCharacters) {
    const TempFolder folder;
    one_block_model(folder / "model");
    const Outcome outcome = run_vq(noisy_quantize(folder / "model", folder / "out.vq.h5"));
    EXPECT_EQ(outcome.code, 0);
    EXPECT_THAT(outcome.err, Not(HasSubstr("\r")));
    EXPECT_THAT(outcome.err, Not(HasSubstr("\x1b")));
    EXPECT_THAT(outcome.out, HasSubstr("out.vq.h5"));
}

TEST(Progress, QuietRunShowsNothing) {
    const TempFolder folder;
    one_block_model(folder / "model");
    EXPECT_EQ(run_vq(quick_quantize(folder / "model", folder / "out.vq.h5")).err, "");
}

}  // namespace
}  // namespace vq::test
