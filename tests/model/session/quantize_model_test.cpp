// SPDX-License-Identifier: Apache-2.0
#include "model/session/quantize_model.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "base/hash.h"
#include "codebooks/residual/scalar_grid.h"
#include "tests/vq/layer_fixture.h"
#include "vq/run/presets.h"
#include "vq/tensor/store_totals.h"
#include "vq/tensor/stored_model.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {
namespace {

using test::correlated_inputs;
using test::gaussian;
using test::Threads;

/// A two-block Llama in memory, or a Qwen2, which has biases in q, k and v.
class TinySource final : public WeightSource {
public:
    explicit TinySource(bool biased = false) {
        const std::string json =
            (biased ? R"({"architectures":["Qwen2ForCausalLM"],"model_type":"qwen2",)"
                    : R"({"architectures":["LlamaForCausalLM"],"model_type":"llama",)") +
            std::string(R"("vocab_size":40,
                "hidden_size":32,"intermediate_size":64,"num_hidden_layers":2,
                "num_attention_heads":4,"num_key_value_heads":2,"max_position_embeddings":64,
                "rms_norm_eps":1e-5,"hidden_act":"silu","tie_word_embeddings":true})");
        config_ = parse_hf_config(json, "tiny");
        files_["tokenizer.json"] = "{}";
        add("model.embed_tokens.weight", 40, 32);
        add("model.norm.weight", 1, 32);
        for (Index l = 0; l < 2; ++l) {
            const std::string p = "model.layers." + std::to_string(l) + ".";
            add(p + "input_layernorm.weight", 1, 32);
            add(p + "post_attention_layernorm.weight", 1, 32);
            add(p + "self_attn.q_proj.weight", 32, 32);
            add(p + "self_attn.k_proj.weight", 16, 32);
            add(p + "self_attn.v_proj.weight", 16, 32);
            add(p + "self_attn.o_proj.weight", 32, 32);
            add(p + "mlp.gate_proj.weight", 64, 32);
            add(p + "mlp.up_proj.weight", 64, 32);
            add(p + "mlp.down_proj.weight", 32, 64);
            if (!biased) continue;
            add(p + "self_attn.q_proj.bias", 1, 32);
            add(p + "self_attn.k_proj.bias", 1, 16);
            add(p + "self_attn.v_proj.bias", 1, 16);
        }
    }
    const ModelConfig& config() const override { return config_; }
    const TokenizerFiles& tokenizer_files() const override { return files_; }
    const std::vector<std::string>& names() const override { return names_; }
    bool has(const std::string& name) const override { return weights_.count(name) > 0; }
    TensorShape shape(const std::string& name) const override {
        return {weights_.at(name).rows(), weights_.at(name).cols()};
    }
    Matrix read(const std::string& name) const override { return weights_.at(name); }
    std::string content_hash() const override { return "tiny"; }

private:
    void add(const std::string& name, Index rows, Index cols) {
        names_.push_back(name);
        weights_[name] = gaussian(rows, cols, names_.size());
    }
    ModelConfig config_;
    TokenizerFiles files_;
    std::vector<std::string> names_;
    std::map<std::string, Matrix> weights_;
};

/// Inputs drawn at random; records what was asked of it.
class RandomWalk final : public LayerWalk {
public:
    explicit RandomWalk(const ModelConfig& config) : config_(config) {}
    void collect(Index layer, Index group, HessianSum& sum, DriftSum* /*drift*/) override {
        calls.push_back("collect " + std::to_string(layer) + " " + std::to_string(group));
        const Matrix x = correlated_inputs(300, sum.cols(), 100 + 10 * layer + group);
        sum.add(x.data(), x.rows());
    }
    void replace(const std::string& name, Matrix weight) override {
        calls.push_back("replace " + name);
        replaced[name] = std::move(weight);
    }
    void finish(Index layer) override { calls.push_back("finish " + std::to_string(layer)); }

    std::vector<std::string> calls;
    std::map<std::string, Matrix> replaced;

private:
    const ModelConfig& config_;
};

class QuantizeModel : public testing::Test {
protected:
    void SetUp() override {
        folder_ = std::filesystem::temp_directory_path() /
                  ("vqkit_quantize_model_" + std::to_string(::getpid()) + "_" +
                   testing::UnitTest::GetInstance()->current_test_info()->name());
        std::filesystem::create_directories(folder_);
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    std::string path(const std::string& name) const { return (folder_ / name).string(); }

    static std::string bytes(const std::string& file) {
        std::ifstream in(file, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }

    Settings settings(const std::string& method, CodebookScope scope) const {
        Settings s = preset_settings(method);
        s.code.scope = scope;
        if (scope != CodebookScope::universal) s.code.grid = Grid::gaussian;
        s.code.rate = 2;
        s.code.tail = 16;
        s.code.stage_bits = {4, 3};
        if (scope == CodebookScope::universal)
            s.code.stage_bits = s.code.dim == 1 ? std::vector<int>{3} : std::vector<int>{8, 8};
        if (s.code.kind == "e8p") s.code.stage_bits = {16, 16};
        if (s.code.kind == "bitmod") s.code.stage_bits = {4};
        s.code.outliers = 0;
        s.code.kmeans.iterations = 3;
        s.refine.rounds = 1;
        return s;
    }

    StoreMeta meta(const std::string& fingerprint) const {
        StoreMeta m;
        m.fingerprint = fingerprint;
        m.config_json = source().config().hf_json;
        m.tokenizer = source().tokenizer_files();
        m.provenance = Json::object();
        return m;
    }

    ModelPlan plan(const Settings& s) const { return uniform_plan(model_tensors(source()), s); }

    QuantizeReport run(const std::string& file, const Settings& s, bool resume = false,
                       const Progress& progress = {}) {
        return run(file, plan(s), resume, progress);
    }

    QuantizeReport run(const std::string& file, const ModelPlan& plan, bool resume = false,
                       const Progress& progress = {}) {
        walk_ = std::make_unique<RandomWalk>(source().config());
        const std::string fingerprint =
            run_fingerprint(source().content_hash(), plan, "calib", true, 1);
        StoreWriter writer(file, fingerprint, resume);
        const auto head = [&] {
            HessianSum sum(source().config().hidden_size);
            walk_->collect(source().config().n_layers(), 0, sum, nullptr);
            return sum;
        };
        return quantize_model(source(), {walk_.get(), true, {}, head}, plan, 1, meta(fingerprint),
                              writer, progress);
    }

    const TinySource& source() const { return biased_ ? with_biases_ : source_; }

    bool biased_ = false;
    TinySource with_biases_{true};
    TinySource source_;
    std::unique_ptr<RandomWalk> walk_;
    std::filesystem::path folder_;
};

const CodebookScope scopes[] = {CodebookScope::tensor, CodebookScope::layer, CodebookScope::model,
                                CodebookScope::universal};
const char* method_for(CodebookScope scope) {
    return scope == CodebookScope::universal ? "rvq" : "vptq";  // universal codebooks have d = 8
}

/// Of values that are computed: there is nothing to train on a tensor.
bool has_fixed_grid(const PresetInfo& preset) {
    const Settings s = preset_settings(preset.name);
    return s.code.kind == "grid" || s.code.grid != Grid::gaussian;
}

TEST_F(QuantizeModel, StoreDecodesToTheWeightsThatTheTextFlowedThrough) {
    for (const CodebookScope scope : scopes) {
        const std::string file = path(std::to_string(static_cast<int>(scope)) + ".vq.h5");
        run(file, settings("rvq", scope));
        const auto stored = open_stored_model(file);
        EXPECT_EQ(walk_->replaced.size(), 14u);
        for (const auto& [name, weight] : walk_->replaced)
            EXPECT_EQ(stored->read(name), weight) << name;
        EXPECT_EQ(stored->read("model.norm.weight"), source_.read("model.norm.weight"));
        EXPECT_TRUE(verify_codes(file, {}).empty());
    }
}

TEST_F(QuantizeModel, BitsReportedAreTheBitsInTheFile) {
    for (const CodebookScope scope : scopes) {
        const std::string file = path(std::to_string(static_cast<int>(scope)) + ".vq.h5");
        const Settings s = settings(method_for(scope), scope);
        const QuantizeReport report = run(file, s);
        const StoreReader reader(file);
        double bits = 0;
        double weights = 0;
        for (const std::string& name : reader.names()) {
            const StoredTensor t = reader.read(name);
            if (is_dense(t) || is_embedding(t)) continue;
            bits += 8.0 * static_cast<double>(t.bytes());
            weights += static_cast<double>(t.shape.rows * t.shape.cols);
        }
        for (const auto& [name, array] : reader.meta().shared)
            bits += 8.0 * static_cast<double>(array.bytes.size());
        EXPECT_DOUBLE_EQ(report.bits_per_weight, bits / weights);
        EXPECT_NEAR(totals_of(reader).bits_per_weight, bits / weights, 1e-9);
        EXPECT_NEAR(plan_size(plan(s)).linear_bits, bits, 1e-6);
        double listed = 0;
        for (const TensorReport& t : report.tensors)
            listed += t.bits_per_weight * static_cast<double>(t.rows * t.cols);
        EXPECT_NEAR(listed, bits, 1e-6 * bits);
    }
}

TEST_F(QuantizeModel, TextFlowsThroughWhatIsAlreadyQuantized) {
    run(path("a.vq.h5"), settings("rvq", CodebookScope::tensor));
    const auto at = [&](const std::string& call) {
        return std::find(walk_->calls.begin(), walk_->calls.end(), call) - walk_->calls.begin();
    };
    EXPECT_LT(at("collect 0 0"), at("replace model.layers.0.self_attn.q_proj.weight"));
    EXPECT_LT(at("replace model.layers.0.self_attn.v_proj.weight"), at("collect 0 1"));
    EXPECT_LT(at("replace model.layers.0.mlp.up_proj.weight"), at("collect 0 3"));
    EXPECT_LT(at("replace model.layers.0.mlp.down_proj.weight"), at("finish 0"));
    EXPECT_LT(at("finish 0"), at("collect 1 0"));
}

TEST_F(QuantizeModel, BiasesTakeTheMeanErrorOfOutputs) {
    biased_ = true;
    Settings s = settings("rvq", CodebookScope::tensor);
    run(path("a.vq.h5"), s);
    const auto stored = open_stored_model(path("a.vq.h5"));
    for (Index l = 0; l < 2; ++l)
        for (const char* part : {"q", "k", "v"}) {
            const std::string tensor =
                "model.layers." + std::to_string(l) + ".self_attn." + part + "_proj.";
            const MatrixD x = correlated_inputs(300, 32, 100 + 10 * l).cast<double>();
            const auto outputs = [&](const WeightSource& from, const Matrix& bias) {
                return MatrixD(
                           (x * from.read(tensor + "weight").cast<double>().transpose()).rowwise() +
                           bias.cast<double>().row(0))
                    .colwise()
                    .mean()
                    .eval();
            };
            const Matrix before = source().read(tensor + "bias");
            const MatrixD want = outputs(source(), before);
            const double uncorrected = (outputs(*stored, before) - want).norm();
            const double corrected =
                (outputs(*stored, stored->read(tensor + "bias")) - want).norm();
            EXPECT_LT(corrected, 1e-4 * uncorrected) << tensor;
            EXPECT_EQ(walk_->replaced.at(tensor + "bias"), stored->read(tensor + "bias"));
        }
    s.bias = false;
    run(path("b.vq.h5"), s);
    const std::string name = "model.layers.1.self_attn.v_proj.bias";
    EXPECT_EQ(open_stored_model(path("b.vq.h5"))->read(name), source().read(name));
    EXPECT_EQ(walk_->replaced.count(name), 0u);
}

TEST_F(QuantizeModel, ByteIdenticalAtOneAndTwoThreadsAndWhenRepeated) {
    for (const PresetInfo& preset : presets()) {
        const std::string& method = preset.name;
        const Settings s = settings(
            method, has_fixed_grid(preset) ? CodebookScope::universal : CodebookScope::tensor);
        {
            const Threads one(1);
            run(path("one.vq.h5"), s);
        }
        const Threads two(2);
        run(path("two.vq.h5"), s);
        run(path("again.vq.h5"), s);
        const std::string expected = bytes(path("one.vq.h5"));
        EXPECT_FALSE(expected.empty());
        EXPECT_EQ(expected, bytes(path("two.vq.h5"))) << method;
        EXPECT_EQ(expected, bytes(path("again.vq.h5"))) << method;
    }
}

TEST_F(QuantizeModel, MethodsWithFixedGridsStoreTheGridOnce) {
    for (const char* method : {"awq", "finequant", "llm-fp4"}) {
        Settings s = settings(method, CodebookScope::universal);
        s.code.stage_bits = {3};
        const QuantizeReport report = run(path("a.vq.h5"), s);
        const StoreReader reader(path("a.vq.h5"));
        ASSERT_EQ(reader.meta().shared.size(), 1u) << method;
        EXPECT_EQ(reader.meta().shared.begin()->first,
                  "universal." + scalar_grid_name(s.code.grid, 3));
        EXPECT_EQ(reader.meta().shared.begin()->second.count(), 8);
        const auto stored = open_stored_model(path("a.vq.h5"));
        for (const auto& [name, weight] : walk_->replaced)
            EXPECT_EQ(stored->read(name), weight) << name;
        EXPECT_NEAR(plan_size(plan(s)).linear_bits,
                    report.bits_per_weight * 2 * (32 * 32 * 2 + 16 * 32 * 2 + 64 * 32 * 3), 1e-6)
            << method;
    }
}

TEST_F(QuantizeModel, GridsByColumnStoreEachGridOnceAndMeetTheirBits) {
    Settings s = settings("cvxq-grid", CodebookScope::universal);
    s.code.rate = 2.71;
    QuantizeReport report;
    {
        const Threads one(1);
        run(path("one.vq.h5"), s);
    }
    {
        const Threads two(2);
        report = run(path("two.vq.h5"), s);
    }
    EXPECT_EQ(bytes(path("one.vq.h5")), bytes(path("two.vq.h5")));
    const StoreReader reader(path("one.vq.h5"));
    EXPECT_EQ(reader.meta().shared.size(), 8u);
    const auto stored = open_stored_model(path("one.vq.h5"));
    for (const auto& [name, weight] : walk_->replaced)
        EXPECT_EQ(stored->read(name), weight) << name;
    EXPECT_NEAR(plan_size(plan(s)).linear_bits,
                report.bits_per_weight * 2 * (32 * 32 * 2 + 16 * 32 * 2 + 64 * 32 * 3), 1e-6);
}

TEST_F(QuantizeModel, ProgressCountsTablesForTheLittleTimeThatTheyTake) {
    double before_tables = 0;
    double total = 0;
    Progress progress;
    progress.step = [&](double done, double all, const std::string& what) {
        total = all;
        if (what.find("embed") == std::string::npos) before_tables = done;
    };
    run(path("out.vq.h5"), settings("rvq", CodebookScope::model), false, progress);
    EXPECT_GT(before_tables, 0.99 * total);
    EXPECT_LT(before_tables, total);
}

TEST_F(QuantizeModel, AStoppedRunResumesToTheSameBytes) {
    biased_ = true;
    const Settings s = settings("rvq", CodebookScope::model);
    run(path("whole.vq.h5"), s);
    bool enough = false;
    Progress stop;
    stop.step = [&](double done, double total, const std::string&) {
        enough = enough || done > 0.3 * total;
    };
    stop.cancelled = [&] { return enough; };
    EXPECT_THROW(run(path("part.vq.h5"), s, false, stop), Cancelled);
    EXPECT_FALSE(std::filesystem::exists(path("part.vq.h5")));
    EXPECT_TRUE(std::filesystem::exists(path("part.vq.h5.parts")));
    // A bias that was lost is made again, with its weights.
    int removed = 0;
    for (const auto& file : std::filesystem::directory_iterator(path("part.vq.h5.parts")))
        if (file.path().filename().string().find("layers.0.self_attn.k_proj.bias") !=
            std::string::npos)
            removed += std::filesystem::remove(file.path()) ? 1 : 0;
    EXPECT_EQ(removed, 1);
    const QuantizeReport report = run(path("part.vq.h5"), s, true);
    EXPECT_TRUE(report.tensors.front().resumed);
    EXPECT_FALSE(report.tensors.back().resumed);
    EXPECT_EQ(bytes(path("whole.vq.h5")), bytes(path("part.vq.h5")));
    EXPECT_FALSE(std::filesystem::exists(path("part.vq.h5.parts")));
}

TEST_F(QuantizeModel, FingerprintSeesEverySettingOfEveryTensorSeedAndCalibration) {
    const ModelPlan p = plan(settings("rvq", CodebookScope::model));
    const std::string base = run_fingerprint("hash", p, "calib", true, 1);
    for (const std::size_t i : {std::size_t{0}, p.tensors.size() - 1}) {
        ModelPlan other = p;
        other.tensors[i].settings.damping = 0.02;
        EXPECT_NE(base, run_fingerprint("hash", other, "calib", true, 1));
    }
    EXPECT_NE(base, run_fingerprint("other", p, "calib", true, 1));
    EXPECT_NE(base, run_fingerprint("hash", p, "other", true, 1));
    EXPECT_NE(base, run_fingerprint("hash", p, "calib", false, 1));
    EXPECT_NE(base, run_fingerprint("hash", p, "calib", true, 2));
    EXPECT_EQ(base, run_fingerprint("hash", p, "calib", true, 1));
}

TEST_F(QuantizeModel, TheEmbeddingIsATensorOfThePlan) {
    Settings s = settings("rvq", CodebookScope::tensor);
    const std::string name = "model.embed_tokens.weight";
    QuantizeReport report = run(path("bytes.vq.h5"), s);
    ASSERT_EQ(report.embeddings.size(), 1u);
    EXPECT_EQ(report.embeddings[0].name, name);
    // A scale for 32 weights and one for the tensor, which is small here.
    EXPECT_EQ(report.embeddings[0].bits_per_weight, 8.5 + 32.0 / (40 * 32));
    EXPECT_EQ(report.tensors.size(), 14u);
    const StoreReader bytes(path("bytes.vq.h5"));
    EXPECT_TRUE(is_embedding(bytes.info(name)));
    EXPECT_EQ(bytes.info(name).spec["code"], "bytes");
    EXPECT_EQ(totals_of(bytes).embedding_weights, 40 * 32);
    EXPECT_NEAR(totals_of(bytes).bits_per_weight, report.bits_per_weight, 1e-9);
    const Matrix w = source_.read(name);
    EXPECT_LT((open_stored_model(path("bytes.vq.h5"))->read(name) - w).cwiseAbs().maxCoeff(),
              w.cwiseAbs().maxCoeff() / 127);

    // A trellis pads the 40 rows to 160, and grids bring tables of their own.
    for (const double bits : {4.4, 8.0}) {
        s.embedding_bits = bits;
        report = run(path("codes.vq.h5"), s);
        ASSERT_EQ(report.embeddings.size(), 1u);
        const StoredTensor stored = StoreReader(path("codes.vq.h5")).info(name);
        EXPECT_TRUE(is_embedding(stored));
        EXPECT_EQ(stored.spec["code"], bits > 5 ? "residual" : "trellis");
        const Matrix what = open_stored_model(path("codes.vq.h5"))->read(name);
        EXPECT_NEAR((what - w).squaredNorm() / w.squaredNorm(), stored.rel_mse, 1e-5);
        // Made before the layers, which see it, and weighed with the inputs of the head.
        EXPECT_EQ(walk_->calls[0], "collect 2 0");
        EXPECT_EQ(walk_->calls[1], "replace " + name);
        EXPECT_EQ(walk_->calls[2], "collect 0 0");
        EXPECT_EQ(walk_->replaced.at(name), what);
        EXPECT_NE(stored.rel_proxy, stored.rel_mse);
        EXPECT_LT(stored.rel_proxy, 0.3);
        EXPECT_EQ(
            open_stored_model(path("codes.vq.h5"))->read("model.layers.1.mlp.down_proj.weight"),
            open_stored_model(path("bytes.vq.h5"))->read("model.layers.1.mlp.down_proj.weight"));
    }
    s.embedding_bits = 0;

    s.embedding = EmbeddingCode::dense;
    report = run(path("dense.vq.h5"), s);
    EXPECT_TRUE(report.embeddings.empty());
    EXPECT_TRUE(is_dense(StoreReader(path("dense.vq.h5")).info(name)));
    EXPECT_EQ(open_stored_model(path("dense.vq.h5"))->read("model.norm.weight"),
              open_stored_model(path("bytes.vq.h5"))->read("model.norm.weight"));
}

TEST_F(QuantizeModel, TensorsOfAPlanHaveSettingsOfTheirOwn) {
    for (const CodebookScope scope : {CodebookScope::tensor, CodebookScope::model}) {
        const ModelPlan same = plan(settings("gptvq", scope));
        ModelPlan mixed = same;
        for (TensorPlan& t : mixed.tensors)
            if (t.name.ends_with("v_proj.weight")) t.settings.code.stage_bits = {6, 5};
        run(path("same.vq.h5"), same);
        const auto before = walk_->replaced;
        const QuantizeReport report = run(path("mixed.vq.h5"), mixed);
        // Of the first group, where both runs have the same inputs, only v has changed; a model's
        // codebook is trained on those that share it.
        const std::string p = "model.layers.0.self_attn.";
        if (scope == CodebookScope::tensor) {
            EXPECT_EQ(walk_->replaced.at(p + "q_proj.weight"), before.at(p + "q_proj.weight"));
        }
        EXPECT_NE(walk_->replaced.at(p + "v_proj.weight"), before.at(p + "v_proj.weight"));
        EXPECT_TRUE(verify_codes(path("mixed.vq.h5"), {}).empty());
        const StoreReader reader(path("mixed.vq.h5"));
        EXPECT_EQ(reader.meta().shared.size(), scope == CodebookScope::model ? 2u : 0u);
        const PlanSize size = plan_size(mixed);
        EXPECT_NEAR(report.bits_per_weight, size.bits_per_weight(), 1e-9);
        EXPECT_NEAR(totals_of(reader).bits_per_weight, size.bits_per_weight(), 1e-9);
    }
}

TEST_F(QuantizeModel, HessiansFromALookupNeedNoWalk) {
    const Settings s = settings("gptvq", CodebookScope::tensor);
    RandomWalk walk(source_.config());
    HessianSource hessians;
    hessians.lookup = [&](const LinearGroup& group) {
        HessianSum sum(group.cols);
        const Matrix x = correlated_inputs(200, group.cols, 3);
        sum.add(x.data(), x.rows());
        return sum;
    };
    StoreWriter writer(path("a.vq.h5"), "f", false);
    const QuantizeReport report =
        quantize_model(source_, hessians, plan(s), 1, meta("f"), writer, {});
    EXPECT_EQ(report.tensors.size(), 14u);
    EXPECT_TRUE(verify_codes(path("a.vq.h5"), {}).empty());
}

}  // namespace
}  // namespace vq
