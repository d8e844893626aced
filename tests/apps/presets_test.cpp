// SPDX-License-Identifier: Apache-2.0
// Every preset does its work with no option but --method and --calib.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/json.h"
#include "tests/apps/run_vq.h"
#include "vq/run/presets.h"

namespace vq::test {
namespace {

class EveryPreset : public testing::TestWithParam<PresetInfo> {};

TEST_P(EveryPreset, QuantizesTheTinyModelWithinItsOwnBudget) {
    const TempFolder folder;
    // A page of text, so that the run is about the method.
    const std::string text = read_bytes(tiny_model + "/calib.txt").substr(0, 4000);
    write_bytes(folder / "calib.txt", text);
    const Outcome outcome = run_vq({"quantize", tiny_model, "--method", GetParam().name, "--calib",
                                    folder / "calib.txt", "-o", folder / "tiny.vq.h5", "--json"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const Json document = Json::parse(outcome.out);
    EXPECT_EQ(document["method"], GetParam().name);
    EXPECT_LE(document["bits_per_weight"].get<double>(), GetParam().bits);
    EXPECT_LT(document["rel_proxy"].get<double>(), 1.0);

    // The file is as large as was foretold, but where the weights decide: see planned_tensor.h.
    const Outcome dry = run_vq({"quantize", tiny_model, "--method", GetParam().name, "--calib",
                                folder / "calib.txt", "--dry-run", "--json"});
    ASSERT_EQ(dry.code, 0) << dry.err;
    const auto foretold = Json::parse(dry.out)["file_bytes"].get<double>();
    const auto bytes = document["file_bytes"].get<double>();
    const bool by_weights =
        GetParam().name == "best" || GetParam().name == "cvxq-grid" || GetParam().name == "lq-lora";
    EXPECT_NEAR(foretold, bytes, by_weights ? 0.04 * bytes : 0);

    const Outcome inspect = run_vq({"inspect", folder / "tiny.vq.h5", "--json"});
    ASSERT_EQ(inspect.code, 0) << inspect.err;
    const Json audit = Json::parse(inspect.out)["audit"];
    EXPECT_EQ(audit["unexplained"], 0);
    EXPECT_EQ(audit["file_bytes"].get<std::uintmax_t>(),
              std::filesystem::file_size(folder / "tiny.vq.h5"));
    EXPECT_EQ(audit["file_bytes"], bytes);
}

INSTANTIATE_TEST_SUITE_P(Presets, EveryPreset, testing::ValuesIn(presets()), [](const auto& info) {
    std::string name = info.param.name;
    std::erase(name, '-');
    return name;
});

}  // namespace
}  // namespace vq::test
