// SPDX-License-Identifier: Apache-2.0
// Every preset does its work with no option but --method and --calib.
#include <gtest/gtest.h>

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
}

INSTANTIATE_TEST_SUITE_P(Presets, EveryPreset, testing::ValuesIn(presets()), [](const auto& info) {
    std::string name = info.param.name;
    std::erase(name, '-');
    return name;
});

}  // namespace
}  // namespace vq::test
