// SPDX-License-Identifier: Apache-2.0
// Input that cannot work: one clear line, exit code 1, and nothing left behind.
#include <limits>

#include "tests/apps/run_vq.h"

namespace vq::test {
namespace {

class BadInput : public testing::Test {
protected:
    std::string model() const { return folder_ / "model"; }
    std::string config() const { return model() + "/config.json"; }
    std::string weights() const { return model() + "/model.safetensors"; }

    /// Runs a quantization that must fail with a line that names `parts`.
    void expect_refused(const std::vector<std::string>& parts, const RunOptions& options = {},
                        std::vector<std::string> arguments = {}) {
        if (arguments.empty()) arguments = quick_quantize(model(), folder_ / "out.vq.h5");
        const auto before = listing(folder_.path());
        expect_one_error(run_vq(arguments, options), parts);
        EXPECT_EQ(listing(folder_.path()), before) << "something was left behind";
    }

    TempFolder folder_;
};

TEST_F(BadInput, TruncatedSafetensorsIsNamed) {
    one_block_model(model());
    const std::string whole = read_bytes(weights());
    for (const double share : {0.0, 0.000005, 0.0005, 0.5, 0.999}) {
        write_bytes(
            weights(),
            whole.substr(0, static_cast<std::size_t>(share * static_cast<double>(whole.size()))));
        expect_refused({"model.safetensors"});
    }
}

TEST_F(BadInput, TruncatedGgufIsNamed) {
    GgufBuilder gguf;
    gguf.set("general.architecture", "llama")
        .set("llama.block_count", std::uint32_t{1})
        .set("llama.embedding_length", std::uint32_t{128});
    gguf.extra_tensors = 5;  // the file ends where their descriptions should begin
    const std::string whole = gguf.bytes();
    for (const std::size_t size :
         {std::size_t{6}, std::size_t{20}, whole.size() / 2, whole.size()}) {
        write_bytes(folder_ / "model.gguf", whole.substr(0, size));
        expect_refused({"model.gguf"}, {},
                       quick_quantize(folder_ / "model.gguf", folder_ / "out.vq.h5"));
    }
}

TEST_F(BadInput, NanWeightIsNamedWithItsTensor) {
    one_block_model(model());
    // The writer refuses to write one, so a value is replaced in the file.
    std::string bytes = read_bytes(weights());
    const SafetensorsFile file(weights());
    const SafetensorInfo* info = file.find("model.layers.0.self_attn.k_proj.weight");
    ASSERT_NE(info, nullptr);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    bytes.replace(static_cast<std::size_t>(info->begin) + (3 * 128 + 5) * 4, 4, raw(nan));
    write_bytes(weights(), bytes);
    expect_refused({"model.layers.0.self_attn.k_proj.weight"});
}

TEST_F(BadInput, EmptyCalibrationTextIsNamed) {
    one_block_model(model());
    for (const char* content : {"", " \n\t \n"}) {
        write_bytes(folder_ / "calib.txt", content);
        auto arguments = quick_quantize(model(), folder_ / "out.vq.h5");
        *(std::find(arguments.begin(), arguments.end(), "--calib") + 1) = folder_ / "calib.txt";
        expect_refused({"calib.txt", "empty"}, {}, arguments);
    }
}

TEST_F(BadInput, TensorOfOneRowIsNamed) {
    one_block_model(model(), [](const std::string& name, Matrix& values) {
        if (name.ends_with("q_proj.weight")) values = Matrix(values.topRows(1));
        return true;
    });
    expect_refused({"model.layers.0.self_attn.q_proj.weight"});
}

TEST_F(BadInput, UnknownArchitectureIsNamed) {
    one_block_model(model());
    std::string text = read_bytes(config());
    for (const auto& [from, to] :
         {std::pair<std::string, std::string>{"LlamaForCausalLM", "GptNeoXForCausalLM"},
          {"\"llama\"", "\"gpt_neox\""}})
        text.replace(text.find(from), from.size(), to);
    write_bytes(config(), text);
    expect_refused({"config.json"});
}

TEST_F(BadInput, MissingTensorIsNamed) {
    one_block_model(model(), [](const std::string& name, Matrix&) {
        return name != "model.layers.0.mlp.up_proj.weight";
    });
    expect_refused({"model.layers.0.mlp.up_proj.weight"});
}

TEST_F(BadInput, FullDiskLeavesNothing) {
    one_block_model(model());
    // The first tensor does not fit; the tensors fit and the finished file does not.
    for (const rlim_t limit : {rlim_t{3000}, rlim_t{190000}})
        expect_refused({"out.vq.h5"}, {.file_size_limit = limit});
    expect_refused({"x"}, {.file_size_limit = 100000},
                   {"export", model(), "--to", "safetensors", "-o", folder_ / "x", "--quiet"});
    expect_refused({"h.h5"}, {.file_size_limit = 100000},
                   {"hessian", "collect", model(), "--calib", tiny_model + "/calib.txt",
                    "--calib-tokens", "256", "-o", folder_ / "h.h5", "--quiet"});
}

TEST_F(BadInput, UnwritablePathIsNamedBeforeTheWork) {
    one_block_model(model());
    for (const std::string& output :
         {folder_ / "no/such/folder/out.vq.h5", config() + "/out.vq.h5",
          std::string("/proc/vqkit-cannot-write-here.vq.h5"), folder_.path()}) {
        expect_refused({output.substr(0, output.rfind('/'))}, {}, quick_quantize(model(), output));
        expect_refused({output.substr(0, output.rfind('/'))}, {},
                       {"export", model(), "--to", "safetensors", "-o", output, "--quiet"});
    }
}

TEST_F(BadInput, MissingFilesAreNamed) {
    one_block_model(model());
    expect_refused({"no-such-model"}, {},
                   quick_quantize(folder_ / "no-such-model", folder_ / "out.vq.h5"));
    for (const char* command : {"inspect", "verify"})
        expect_refused({"no-such.vq.h5"}, {}, {command, folder_ / "no-such.vq.h5"});
    expect_refused({"no-such.txt"}, {}, {"eval", model(), "--text", folder_ / "no-such.txt"});
}

TEST_F(BadInput, FileThatIsNoStoreIsNamed) {
    write_bytes(folder_ / "text.vq.h5", "this is no store");
    for (const char* command : {"inspect", "verify"})
        expect_refused({"text.vq.h5"}, {}, {command, folder_ / "text.vq.h5"});
    expect_refused({"text.vq.h5"}, {},
                   {"generate", folder_ / "text.vq.h5", "--prompt", "a", "--quiet"});
}

TEST_F(BadInput, BudgetThatCannotBeMetIsRefused) {
    one_block_model(model());
    auto arguments = quick_quantize(model(), folder_ / "out.vq.h5");
    *(std::find(arguments.begin(), arguments.end(), "--bits") + 1) = "0.5";
    expect_refused({"--bits 0.5"}, {}, arguments);
}

}  // namespace
}  // namespace vq::test
