// SPDX-License-Identifier: Apache-2.0
// The program in a system that is not kind to it: no terminal, closed descriptors, little memory,
// outputs that are inputs, two runs with one output.
#include <sys/file.h>
#include <sys/stat.h>

#include <fstream>

#include "io/files/atomic_file.h"
#include "io/files/atomic_folder.h"
#include "tests/apps/run_vq.h"

namespace vq::test {
namespace {

/// Every command that shows progress or notes, on a one-block model.
class Process : public testing::Test {
protected:
    std::string model() const { return folder_ / "model"; }
    std::string store() const { return folder_ / "out.vq.h5"; }
    std::vector<std::string> loud_quantize() const {
        std::vector<std::string> arguments = quick_quantize(model(), store());
        arguments.pop_back();  // --quiet
        return arguments;
    }
    void SetUp() override { one_block_model(model()); }

    TempFolder folder_;
};

TEST_F(Process, MessagesThatCannotBeWrittenAreDropped) {
    const Outcome whole = run_vq(loud_quantize());
    ASSERT_EQ(whole.code, 0) << whole.err;
    const Outcome full = run_vq(loud_quantize(), {.err_path = "/dev/full"});
    EXPECT_EQ(full.code, 0);
    EXPECT_FALSE(full.out.empty());
    EXPECT_EQ(run_vq({"eval", "no such model", "--text", "x"}, {.err_path = "/dev/full"}).code, 1);
    EXPECT_EQ(run_vq({"eval"}, {.err_path = "/dev/full"}).code, 2);
}

TEST_F(Process, ClosedDescriptorsDoNotTakeMessagesIntoFiles) {
    ASSERT_EQ(run_vq(loud_quantize()).code, 0);
    const auto exported = [&](const std::string& name, const std::vector<int>& closed) {
        const std::string output = folder_ / name;
        EXPECT_EQ(
            run_vq({"export", store(), "--to", "safetensors", "-o", output}, {.closed = closed})
                .code,
            0);
        return read_bytes(output + "/model.safetensors");
    };
    const std::string whole = exported("whole", {});
    EXPECT_EQ(exported("no-err", {2}), whole);
    EXPECT_EQ(exported("no-in-err", {0, 2}), whole);
    EXPECT_EQ(exported("none", {0, 1, 2}), whole);
}

TEST_F(Process, AnOutputThatIsAnInputIsRefused) {
    ASSERT_EQ(run_vq(loud_quantize()).code, 0);
    const std::string weights = model() + "/model.safetensors";
    const std::string link = folder_ / "link.safetensors";
    ASSERT_EQ(::link(weights.c_str(), link.c_str()), 0);
    const std::string calib = folder_ / "calib.txt";
    std::filesystem::copy_file(tiny_model + "/calib.txt", calib);
    const std::string weights_before = read_bytes(weights);
    for (const std::string& output : {weights, link})
        expect_one_error(run_vq(quick_quantize(model(), output)), {output, "is an input"});
    EXPECT_EQ(read_bytes(weights), weights_before);
    expect_one_error(run_vq({"export", store(), "--to", "packed", "-o", store()}),
                     {store(), "is an input"});
    expect_one_error(run_vq({"hessian", "collect", model(), "--calib", calib, "-o", calib}),
                     {calib, "is an input"});
    expect_one_error(run_vq(quick_quantize(model(), "/dev/null")), {"/dev/null", "no file"});
}

TEST_F(Process, LittleMemoryIsAnErrorAndNoHang) {
    for (const rlim_t megabytes : {300, 400})
        expect_one_error(
            run_vq(quick_quantize(model(), store()), {.address_space_limit = megabytes << 20}),
            {"address space", "ulimit -v"});
}

TEST(OneOutput, IsWrittenByOneRunAtATime) {
    const TempFolder folder;
    const std::string path = folder / "out";
    {
        AtomicFile first(path);
        EXPECT_THROW(AtomicFile second(path), Error);
        std::ofstream(first.temp()) << "first";
        first.commit();
    }
    EXPECT_EQ(read_bytes(path), "first");
    // What a killed run left is taken over: its lock went with it.
    std::ofstream(path + ".tmp") << "left";
    {
        AtomicFile again(path);
        EXPECT_EQ(read_bytes(again.temp()), "");
    }
    EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));

    const std::string name = folder / "folder";
    std::filesystem::create_directory(name + ".tmp");
    std::ofstream(name + ".tmp/left") << "left";
    AtomicFolder first(name);
    EXPECT_FALSE(std::filesystem::exists(name + ".tmp/left"));
    EXPECT_THROW(AtomicFolder second(name), Error);
    std::ofstream(first.file("x")) << "x";
    first.commit();
    EXPECT_EQ(read_bytes(name + "/x"), "x");
}

}  // namespace
}  // namespace vq::test
