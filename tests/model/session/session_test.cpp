// SPDX-License-Identifier: Apache-2.0
#include "model/session/session.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "model/session/collect_hessians.h"

namespace vq {
namespace {

using testing::HasSubstr;

const std::string tiny = std::string(VQKIT_MODELS) + "/tiny";

class SessionTest : public testing::Test {
protected:
    void SetUp() override {
        folder_ = std::filesystem::temp_directory_path() /
                  ("vqkit_session_" + std::to_string(::getpid()) + "_" +
                   testing::UnitTest::GetInstance()->current_test_info()->name());
        std::filesystem::create_directories(folder_);
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }
    std::string path(const std::string& name) const { return (folder_ / name).string(); }

    static std::string bytes(const std::string& file) {
        std::ifstream in(file, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }

    /// A plan that takes a second: nothing but rounding, and no refinement.
    static ModelPlan quick(const Session& session, const char* bits) {
        return plan_preset(session.tensors(), "gptq",
                           {std::string("code.stage_bits=") + bits, "scale.search=2"}, 0);
    }
    static CalibrationFiles text() {
        return {.paths = {tiny + "/calib.txt"}, .chats = {}, .tokens = 512};
    }

    std::string quantize(Session& session, const ModelPlan& plan, const std::string& name,
                         const Progress& progress = {}) const {
        session.quantize(plan, {.path = path(name), .resume = false, .seed = 3, .command = "test"},
                         progress);
        return bytes(path(name));
    }

    std::filesystem::path folder_;
};

TEST_F(SessionTest, ASweepOnOneSessionGivesTheStoresOfSeparateRuns) {
    // Room for all sums, for those of the first few groups, and for none.
    for (const std::int64_t kept : {std::int64_t{1} << 30, std::int64_t{700000}, std::int64_t{0}}) {
        for (const TextPath path : {TextPath::original, TextPath::quantized}) {
            Session sweep(tiny, {.kept_sums = kept});
            sweep.use_text(text(), Precision::fp32, path, {});
            for (const char* bits : {"2", "3"}) {
                Session alone(tiny);
                alone.use_text(text(), Precision::fp32, path, {});
                const std::string expected = quantize(alone, quick(alone, bits), "alone.vq.h5");
                EXPECT_TRUE(quantize(sweep, quick(sweep, bits), "sweep.vq.h5") == expected)
                    << kept << " bytes kept, " << bits << " bits";
            }
        }
    }
}

TEST_F(SessionTest, EmbeddingsAreWeighedWithWhatTheHeadReads) {
    const auto plan = [](const Session& session) {
        return plan_preset(session.tensors(), "gptq",
                           {"code.stage_bits=3", "scale.search=2", "embedding.bits=5"}, 0);
    };
    // The sums of the layers are kept from the first plan, those of the head are not there yet.
    Session sweep(tiny, {.kept_sums = std::int64_t{1} << 30});
    sweep.use_text(text(), Precision::fp32, TextPath::original, {});
    quantize(sweep, quick(sweep, "3"), "first.vq.h5");
    const std::string again = quantize(sweep, plan(sweep), "again.vq.h5");
    EXPECT_TRUE(quantize(sweep, plan(sweep), "kept.vq.h5") == again);
    Session alone(tiny);
    alone.use_text(text(), Precision::fp32, TextPath::original, {});
    EXPECT_TRUE(quantize(alone, plan(alone), "alone.vq.h5") == again);

    // A Hessian file says nothing of the head, and the run says so.
    const CalibrationText windows = load_calibration(text(), alone.source(), tiny, {});
    collect_hessians(alone.source(), tiny, windows, Precision::fp32, path("h.h5"), Json::object(),
                     {});
    alone.use_hessians(path("h.h5"));
    std::string log;
    Progress progress;
    progress.note = [&](const std::string& line) { log += line + "\n"; };
    quantize(alone, plan(alone), "file.vq.h5", progress);
    EXPECT_THAT(log, HasSubstr("does not say what the head reads"));
    const StoredTensor plain = StoreReader(path("file.vq.h5")).info("model.embed_tokens.weight");
    EXPECT_NEAR(plain.rel_mse, plain.rel_proxy, 1e-7);
    EXPECT_LT(StoreReader(path("again.vq.h5")).info(plain.name).rel_proxy, plain.rel_proxy);
}

TEST_F(SessionTest, AHessianFileGivesTheStoreOfTheOriginalLayers) {
    Session session(tiny);
    const CalibrationText windows = load_calibration(text(), session.source(), tiny, {});
    collect_hessians(session.source(), tiny, windows, Precision::fp32, path("h.h5"), Json::object(),
                     {});
    const ModelPlan plan = quick(session, "3");
    session.use_hessians(path("h.h5"));
    const StoreRequest request = {
        .path = path("file.vq.h5"), .resume = false, .seed = 3, .command = "test"};
    const QuantizeReport from_file = session.quantize(plan, request, {});
    session.use_text(text(), Precision::fp32, TextPath::original, {});
    const QuantizeReport from_text = session.quantize(plan, request, {});
    ASSERT_EQ(from_file.tensors.size(), from_text.tensors.size());
    for (std::size_t i = 0; i < from_file.tensors.size(); ++i)
        EXPECT_EQ(from_file.tensors[i].rel_proxy, from_text.tensors[i].rel_proxy);
    EXPECT_EQ(from_file.rel_proxy, from_text.rel_proxy);
}

TEST_F(SessionTest, ModelBytesAreWhatTheStoreHolds) {
    Session session(tiny);
    session.use_text(text(), Precision::fp32, TextPath::original, {});
    for (const char* embedding : {"int8", "fp16"}) {
        const ModelPlan plan =
            plan_preset(session.tensors(), "gptq",
                        {"scale.search=2", std::string("embedding.code=") + embedding}, 3);
        quantize(session, plan, "m.vq.h5");
        const StoreReader store(path("m.vq.h5"));
        std::int64_t bytes = 0;
        for (const std::string& name : store.names()) bytes += store.read(name).bytes();
        for (const auto& [name, array] : store.meta().shared)
            bytes += static_cast<std::int64_t>(array.bytes.size());
        EXPECT_EQ(session.model_bytes(plan), static_cast<double>(bytes)) << embedding;
    }
}

TEST_F(SessionTest, FaultsLeaveNothingBehind) {
    Session session(tiny);
    session.use_text(text(), Precision::fp32, TextPath::original, {});
    ModelPlan plan = quick(session, "3");
    Progress stop;
    stop.cancelled = [] { return true; };
    EXPECT_THROW(quantize(session, plan, "a.vq.h5", stop), Cancelled);
    EXPECT_TRUE(std::filesystem::is_empty(folder_));
    // A store is not a checkpoint.
    quantize(session, plan, "a.vq.h5");
    try {
        Session of_store(path("a.vq.h5"));
        FAIL() << "accepted";
    } catch (const Error& e) {
        EXPECT_THAT(e.what(), HasSubstr("already quantized"));
    }
}

}  // namespace
}  // namespace vq
