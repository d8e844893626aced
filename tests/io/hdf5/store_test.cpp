// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5/store.h"

#include <gmock/gmock.h>
#include <sys/wait.h>

#include <atomic>
#include <functional>
#include <set>
#include <thread>

#include "base/cancel.h"
#include "io/hdf5/store_layout.h"
#include "io/hdf5/store_space.h"
#include "io/hdf5/store_verify.h"
#include "tests/io/hdf5/store_fixture.h"

namespace vq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace vq::testing;

const std::vector<std::string> kNames = {"z.weight", "model.layers.0.self_attn.q_proj.weight",
                                         "a/b%c", "A.weight"};

void expect_equal(const StoredTensor& a, const StoredTensor& b) {
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.shape.rows, b.shape.rows);
    EXPECT_EQ(a.shape.cols, b.shape.cols);
    EXPECT_EQ(a.spec.dump(), b.spec.dump());
    EXPECT_EQ(a.bits_per_weight, b.bits_per_weight);
    EXPECT_EQ(a.rel_mse, b.rel_mse);
    EXPECT_EQ(a.rel_proxy, b.rel_proxy);
    ASSERT_EQ(a.arrays.size(), b.arrays.size());
    for (const auto& [name, array] : a.arrays) {
        ASSERT_TRUE(b.arrays.contains(name)) << name;
        const Array& other = b.arrays.at(name);
        EXPECT_EQ(array.type, other.type) << name;
        EXPECT_EQ(array.shape, other.shape) << name;
        EXPECT_EQ(array.bytes, other.bytes) << name;
    }
}

TEST(StoreSize, IsKnownBeforeTheFileIsThere) {
    // Few links lie in their group's header, many in an index of their own; arrays of one chunk and
    // of several; names of many lengths.
    for (const int tensors : {0, 1, 7, 8, 9, 60}) {
        TempFolder folder;
        const std::string path = folder / "s.vq.h5";
        std::vector<std::string> names;
        std::vector<StoredTensor> outlines;
        StoreWriter writer(path, "fp-1", false);
        for (int i = 0; i < tensors; ++i) {
            names.push_back("layers." + std::string(static_cast<std::size_t>(i % 5), 'x') +
                            std::to_string(i));
            const StoredTensor tensor = sample_tensor(names.back(), i == 3 ? 3'000'001 : 96 + i);
            writer.write_part(tensor);
            outlines.push_back(tensor);
            for (auto& [name, array] : outlines.back().arrays) array.bytes.clear();
            EXPECT_EQ(outlines.back().bytes(), tensor.bytes());
        }
        writer.finish(sample_meta(), names);
        StoreMeta meta = sample_meta();
        for (auto& [name, array] : meta.shared) array.bytes.clear();
        EXPECT_EQ(store_file_bytes(meta, outlines), static_cast<std::int64_t>(fs::file_size(path)))
            << tensors;

        const StoreSpace space = store_space(path);
        EXPECT_EQ(space.file_bytes, static_cast<std::int64_t>(fs::file_size(path)));
        EXPECT_EQ(space.sum(), space.file_bytes);
        // HDF5 allocates what is small in blocks of 2,048 bytes.
        EXPECT_LT(space.gaps, 3 * 2048) << tensors;
        std::int64_t codes = 0;
        for (const DatasetSpace& d : space.datasets)
            if (d.group == "tensors" && d.name == "codes") codes += d.bytes;
        std::int64_t want = 0;
        for (const StoredTensor& t : outlines) want += t.arrays.at("codes").count();
        EXPECT_EQ(codes, want);
    }
}

TEST(Store, ReadsBackWhatWasWritten) {
    const TempFolder folder;
    const std::string path = write_sample_store(folder / "s.vq.h5", kNames);
    EXPECT_THAT(folder.list(), ElementsAre("s.vq.h5"));
    EXPECT_TRUE(is_store(path));

    const StoreReader store(path);
    EXPECT_EQ(store.names(), kNames);  // in the order of finish(), not by name
    EXPECT_EQ(store.file_bytes(), static_cast<std::int64_t>(fs::file_size(path)));
    const StoreMeta meta = sample_meta();
    EXPECT_EQ(store.meta().fingerprint, meta.fingerprint);
    EXPECT_EQ(store.meta().seed, meta.seed);
    EXPECT_EQ(store.meta().tool_version, meta.tool_version);
    EXPECT_EQ(store.meta().config_json, meta.config_json);
    EXPECT_EQ(store.meta().tokenizer, meta.tokenizer);
    EXPECT_EQ(store.meta().provenance, meta.provenance);
    ASSERT_EQ(store.meta().shared.size(), 1U);
    EXPECT_EQ(store.meta().shared.at("layers.0").bytes, meta.shared.at("layers.0").bytes);

    for (const std::string& name : kNames) {
        EXPECT_TRUE(store.has(name));
        expect_equal(sample_tensor(name), store.read(name));
        EXPECT_EQ(store.read(name).seconds, 0);  // not kept
        EXPECT_THAT(store.info(name).arrays, IsEmpty());
        EXPECT_EQ(store.info(name).spec, sample_tensor(name).spec);
    }
    EXPECT_FALSE(store.has("b%c"));
    EXPECT_THAT(error_of([&] { store.read("none"); }), HasSubstr("none"));
}

TEST(Store, EveryElementTypeAndAwkwardShapesSurvive) {
    const TempFolder folder;
    StoredTensor tensor = sample_tensor("t");
    tensor.arrays.clear();
    const ElementType types[] = {ElementType::u8,  ElementType::u16, ElementType::i32,
                                 ElementType::u32, ElementType::u64, ElementType::f16,
                                 ElementType::f32, ElementType::f64};
    // The last one takes several chunks, with a ragged end, in both dimensions.
    const std::vector<std::vector<std::int64_t>> shapes = {
        {1}, {3, 1, 5}, {0}, {4, 0}, {1, 1, 1, 1, 1, 1, 1, 2}, {3, 300007}};
    for (const ElementType type : types) {
        for (std::size_t s = 0; s < shapes.size(); ++s) {
            Array array{type, shapes[s], {}};
            array.bytes.resize(static_cast<std::size_t>(array.count() * element_bytes(type)));
            for (std::size_t i = 0; i < array.bytes.size(); ++i)
                array.bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
            tensor.arrays[std::to_string(static_cast<int>(type)) + "-" + std::to_string(s)] = array;
        }
    }
    StoreWriter writer(folder / "s", "fp-1", false);
    writer.write_part(tensor);
    expect_equal(tensor, writer.read_part("t"));
    EXPECT_EQ(writer.read_part("t").seconds, tensor.seconds);
    writer.finish(sample_meta(), {"t"});
    expect_equal(tensor, StoreReader(folder / "s").read("t"));
    // Little but the data: padding of ragged chunks, checksums, headers.
    EXPECT_LT(fs::file_size(folder / "s"), static_cast<std::uintmax_t>(tensor.bytes()) + 60000);
}

TEST(Store, BytesDoNotDependOnTheOrderOfPartsOrOnThreads) {
    const TempFolder folder;
    std::vector<std::string> names;
    names.reserve(24);
    for (int i = 0; i < 24; ++i) names.push_back("model.layers." + std::to_string(i) + ".weight");
    const auto write = [&](const std::string& path, bool backwards, int threads) {
        StoreWriter writer(path, "fp-1", false);
        std::vector<std::string> order = names;
        if (backwards) std::reverse(order.begin(), order.end());
        std::atomic<std::size_t> next{0};
        std::vector<std::thread> pool;
        pool.reserve(static_cast<std::size_t>(threads));
        for (int t = 0; t < threads; ++t)
            pool.emplace_back([&, t] {
                for (std::size_t i = next++; i < order.size(); i = next++) {
                    StoredTensor tensor = sample_tensor(order[i], 5000);
                    tensor.seconds = t + static_cast<double>(i);  // differs from run to run
                    writer.write_part(tensor);
                }
            });
        for (std::thread& thread : pool) thread.join();
        writer.finish(sample_meta(), names);
        return slurp(path);
    };
    const std::string first = write(folder / "a", false, 1);
    ASSERT_GT(first.size(), 24U * 5000U);
    EXPECT_TRUE(first == write(folder / "b", true, 1));
    EXPECT_TRUE(first == write(folder / "c", false, 4));
    EXPECT_THAT(folder.list(), ElementsAre("a", "b", "c"));
}

TEST(Store, ResumedRunWritesTheSameBytes) {
    const TempFolder folder;
    const std::string whole = slurp(write_sample_store(folder / "whole", kNames));
    {
        StoreWriter writer(folder / "cut", "fp-1", false);
        writer.write_part(sample_tensor(kNames[2]));
    }
    EXPECT_THAT(folder.list(), ElementsAre("cut.parts", "whole"));
    StoreWriter writer(folder / "cut", "fp-1", true);
    EXPECT_TRUE(writer.has(kNames[2]));
    EXPECT_FALSE(writer.has(kNames[0]));
    expect_equal(sample_tensor(kNames[2]), writer.read_part(kNames[2]));
    for (const std::string& name : kNames)
        if (!writer.has(name)) writer.write_part(sample_tensor(name));
    writer.finish(sample_meta(), kNames);
    EXPECT_TRUE(whole == slurp(folder / "cut"));
    EXPECT_THAT(folder.list(), ElementsAre("cut", "whole"));
}

TEST(Store, FinishingCanBeStoppedAndLosesNoPart) {
    const TempFolder folder;
    StoreWriter writer(folder / "s", "fp-1", false);
    for (const std::string& name : kNames) writer.write_part(sample_tensor(name));
    {
        int asked = 0;
        const std::function<bool()> second = [&] { return ++asked == 2; };
        const CancelScope cancel(second);
        EXPECT_THROW(writer.finish(sample_meta(), kNames), Cancelled);
    }
    EXPECT_THAT(folder.list(), ElementsAre("s.parts"));
    writer.finish(sample_meta(), kNames);
    EXPECT_TRUE(slurp(folder / "s") == slurp(write_sample_store(folder / "whole", kNames)));
}

TEST(Store, PartsOfAnotherRunAreRefusedByName) {
    const TempFolder folder;
    {
        StoreWriter writer(folder / "s", "fp-old", false);
        writer.write_part(sample_tensor("model.norm.weight"));
    }
    EXPECT_THAT(error_of([&] { StoreWriter(folder / "s", "fp-1", true); }),
                HasSubstr("model.norm.weight"));
    EXPECT_THAT(error_of([&] { StoreWriter(folder / "s", "fp-old", false); }),
                HasSubstr("--resume"));
    EXPECT_TRUE(StoreWriter(folder / "s", "fp-old", true).has("model.norm.weight"));
}

TEST(Store, KilledRunLeavesNothingThatTheNextOneTrips) {
    const TempFolder folder;
    {
        StoreWriter writer(folder / "s", "fp-1", false);
        writer.write_part(sample_tensor("whole"));
        writer.write_part(sample_tensor("damaged"));
        writer.write_part(sample_tensor("cut"));
    }
    // What kills leave: temporary files, and on a bad disk a part that is not what was written.
    spill(folder / "s.tmp", "half a store");
    spill(folder / "s.parts/next.h5.tmp", "half a part");
    const std::string part = slurp(folder / "s.parts/cut.h5");
    spill(folder / "s.parts/cut.h5", part.substr(0, part.size() / 2));
    std::string flipped = slurp(folder / "s.parts/damaged.h5");
    const std::vector<std::uint8_t> codes = sample_tensor("damaged").arrays["codes"].bytes;
    const std::size_t at = flipped.find(std::string(codes.begin(), codes.end()));
    ASSERT_NE(at, std::string::npos);
    flipped[at + 40] ^= 1;
    spill(folder / "s.parts/damaged.h5", flipped);

    StoreWriter writer(folder / "s", "fp-1", true);
    EXPECT_TRUE(writer.has("whole"));
    EXPECT_FALSE(writer.has("damaged"));
    EXPECT_FALSE(writer.has("cut"));
    EXPECT_FALSE(writer.has("next"));
    EXPECT_THAT(folder.list(), ElementsAre("s.parts"));
    for (const char* name : {"damaged", "cut"}) writer.write_part(sample_tensor(name));
    EXPECT_TRUE(writer.has("damaged"));
    writer.finish(sample_meta(), {"whole", "damaged", "cut"});
    EXPECT_THAT(verify_store(folder / "s", {}).problems, IsEmpty());
    EXPECT_THAT(folder.list(), ElementsAre("s"));
}

TEST(Store, OneRunAtATimeWritesAStore) {
    const TempFolder folder;
    const StoreWriter writer(folder / "s", "fp-1", false);
    EXPECT_THAT(error_of([&] { StoreWriter(folder / "s", "fp-1", true); }),
                HasSubstr("another run"));
}

TEST(Store, RunThatFinishedNothingLeavesNothing) {
    const TempFolder folder;
    { const StoreWriter writer(folder / "s", "fp-1", false); }
    EXPECT_THAT(folder.list(), IsEmpty());
    {
        StoreWriter writer(folder / "s", "fp-1", false);
        writer.write_part(sample_tensor("t"));
        writer.discard(true);
    }
    EXPECT_THAT(folder.list(), IsEmpty());
}

TEST(Store, FullDiskWhileWritingAPartLeavesNoFile) {
    const TempFolder folder;
    StoreWriter writer(folder / "s", "fp-1", false);
    writer.write_part(sample_tensor("small"));
    for (const rlim_t limit : {0, 100, 2000, 40000, 2000000}) {
        const FullDisk full(limit);
        const std::string message =
            error_of([&] { writer.write_part(sample_tensor("large", 3000000)); });
        EXPECT_THAT(message, HasSubstr("File too large"));
        EXPECT_THAT(message, HasSubstr("large.h5"));
        EXPECT_EQ(message.find('\n'), std::string::npos);
    }
    EXPECT_FALSE(writer.has("large"));
    EXPECT_FALSE(fs::exists(folder / "s.parts/large.h5"));
    EXPECT_FALSE(fs::exists(folder / "s.parts/large.h5.tmp"));
    writer.write_part(sample_tensor("large", 3000000));
    writer.finish(sample_meta(), {"small", "large"});
    EXPECT_THAT(verify_store(folder / "s", {}).problems, IsEmpty());
}

TEST(Store, FullDiskWhileGatheringKeepsThePartsAndTheOldStore) {
    const TempFolder folder;
    const std::string old = slurp(write_sample_store(folder / "s", {"old"}));
    const std::vector<std::string> names = {"a", "b", "c"};
    {
        StoreWriter writer(folder / "s", "fp-1", false);
        for (const std::string& name : names) writer.write_part(sample_tensor(name, 60000));
        const FullDisk full(100000);
        EXPECT_THAT(error_of([&] { writer.finish(sample_meta(), names); }),
                    HasSubstr("File too large"));
    }
    EXPECT_TRUE(old == slurp(folder / "s"));
    EXPECT_THAT(folder.list(), ElementsAre("s", "s.parts"));
    StoreWriter writer(folder / "s", "fp-1", true);
    for (const std::string& name : names) EXPECT_TRUE(writer.has(name));
    writer.finish(sample_meta(), names);
    EXPECT_EQ(StoreReader(folder / "s").names(), names);
    EXPECT_THAT(folder.list(), ElementsAre("s"));
}

TEST(Store, PlacesThatCannotBeWrittenAreToldAtOnce) {
    const TempFolder folder;
    spill(folder / "file", "x");
    EXPECT_THAT(error_of([&] { StoreWriter(folder / "none/s", "f", false); }),
                ::testing::AllOf(HasSubstr("none/s"), HasSubstr("No such file")));
    EXPECT_THAT(error_of([&] { StoreWriter(folder / "file/s", "f", false); }),
                HasSubstr("Not a directory"));
    fs::create_directory(folder / "folder");
    EXPECT_THAT(error_of([&] { StoreWriter(folder / "folder", "f", false); }),
                HasSubstr("Is a directory"));
    EXPECT_THAT(folder.list(), ElementsAre("file", "folder"));

    // Permissions do not bind root: try as somebody else, in a process of its own.
    fs::create_directory(folder / "closed");
    fs::permissions(folder.path(), fs::perms::all);
    fs::permissions(folder / "closed", fs::perms::owner_read | fs::perms::owner_exec |
                                           fs::perms::others_read | fs::perms::others_exec);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(3);
        const std::string message = error_of([&] { StoreWriter(folder / "closed/s", "f", false); });
        ::_exit(message.find("Permission denied") != std::string::npos ? 0 : 4);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(fs::is_empty(folder / "closed"));
}

TEST(Store, LongAndOddNamesGetTheirOwnParts) {
    const TempFolder folder;
    const std::vector<std::string> names = {std::string(300, 'x') + "1",
                                            std::string(300, 'x') + "2",
                                            "..",
                                            ".",
                                            "a b",
                                            "a%20b",
                                            "\xC3\xA9",
                                            "a/../b"};
    StoreWriter writer(folder / "s", "fp-1", false);
    for (const std::string& name : names) writer.write_part(sample_tensor(name));
    for (const std::string& name : names) EXPECT_TRUE(writer.has(name)) << name;
    writer.finish(sample_meta(), names);
    EXPECT_THAT(folder.list(), ElementsAre("s"));
    const StoreReader store(folder / "s");
    EXPECT_EQ(store.names(), names);
    for (const std::string& name : names) expect_equal(sample_tensor(name), store.read(name));
}

TEST(Store, LinkNamesAreReversible) {
    for (const char* name : {"a", ".", "..", ".a", "a/b", "%", "%2F", "a%", "x\ty", "\xC3\xA9"}) {
        const std::string link = escape_link(name);
        EXPECT_EQ(link.find('/'), std::string::npos);
        EXPECT_NE(link[0], '.');
        EXPECT_EQ(unescape_link(link), name);
    }
}

TEST(Store, ReadersInManyThreadsAgree) {
    const TempFolder folder;
    const StoreReader store(write_sample_store(folder / "s", kNames));
    std::atomic<int> wrong{0};
    std::vector<std::thread> pool;
    pool.reserve(4);
    for (int t = 0; t < 4; ++t)
        pool.emplace_back([&] {
            for (int i = 0; i < 20; ++i) {
                const std::string& name = kNames[static_cast<std::size_t>(i) % kNames.size()];
                if (store.read(name).arrays.at("codes").bytes !=
                    sample_tensor(name).arrays.at("codes").bytes)
                    ++wrong;
            }
        });
    for (std::thread& thread : pool) thread.join();
    EXPECT_EQ(wrong, 0);
}

TEST(Array, HalvesRoundToNearest) {
    const std::vector<float> values = {0.0F, 1.0F, -2.5F, 65504.0F, 0.333251953125F};
    const Array array = Array::from_f16({5}, values.data());
    EXPECT_EQ(array.bytes.size(), 10U);
    EXPECT_EQ(array.to_f32(), values);
    EXPECT_EQ(Array::from_f32({5}, values.data()).to_f32(), values);
}

}  // namespace
}  // namespace vq
