// SPDX-License-Identifier: Apache-2.0
// Damaged and hostile stores: an Error or a reported problem, never a crash and never a huge
// allocation.
#include <gmock/gmock.h>
#include <hdf5.h>

#include <limits>
#include <random>

#include "io/hdf5/h5.h"
#include "io/hdf5/h5_internal.h"
#include "io/hdf5/store.h"
#include "io/hdf5/store_layout.h"
#include "io/hdf5/store_verify.h"
#include "tests/io/hdf5/store_fixture.h"

namespace vq {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace vq::testing;

const std::vector<std::string> kNames = {"model.a.weight", "model.b.weight"};

/// Reads everything; Errors are the caller's.
void read_all(const std::string& path) {
    const StoreReader store(path);
    for (const std::string& name : store.names()) store.read(name);
}

TEST(DamagedStore, EveryTruncationIsAnError) {
    const TempFolder folder;
    const std::string whole = slurp(write_sample_store(folder / "s", kNames));
    std::vector<std::size_t> cuts;
    for (std::size_t n = 0; n < 256; ++n) cuts.push_back(n);
    for (std::size_t n = 256; n < whole.size(); n += 397) cuts.push_back(n);
    cuts.push_back(whole.size() - 1);
    for (const std::size_t cut : cuts) {
        spill(folder / "cut", whole.substr(0, cut));
        const std::string message = error_of([&] { read_all(folder / "cut"); });
        EXPECT_THAT(message, HasSubstr("cut")) << cut;
        EXPECT_EQ(message.find('\n'), std::string::npos);
    }
}

TEST(DamagedStore, BytesBehindTheEndAreAnError) {
    const TempFolder folder;
    const std::string whole = slurp(write_sample_store(folder / "s", kNames));
    spill(folder / "longer", whole + "quantizing 12%\n");
    EXPECT_THAT(error_of([&] { read_all(folder / "longer"); }),
                HasSubstr("15 bytes behind its end"));
}

TEST(DamagedStore, FlippedByteOfCodesNamesTheTensor) {
    const TempFolder folder;
    std::string bytes = slurp(write_sample_store(folder / "s", kNames));
    const std::vector<std::uint8_t> codes = sample_tensor("model.b.weight").arrays["codes"].bytes;
    const std::size_t at = bytes.rfind(std::string(codes.begin(), codes.end()));
    ASSERT_NE(at, std::string::npos);
    bytes[at + 17] ^= 0x20;
    spill(folder / "flipped", bytes);

    EXPECT_THAT(error_of([&] { StoreReader(folder / "flipped").read("model.b.weight"); }),
                AllOf(HasSubstr("checksum mismatch"), HasSubstr("model.b.weight/codes")));
    const VerifyReport report = verify_store(folder / "flipped", {});
    ASSERT_THAT(report.problems, SizeIs(1));
    EXPECT_EQ(report.problems[0].tensor, "model.b.weight");
    EXPECT_THAT(report.problems[0].what, AllOf(HasSubstr("checksum mismatch"), HasSubstr("codes")));
    EXPECT_EQ(report.tensors, 2);
}

TEST(DamagedStore, FlippedByteAnywhereNeverPassesUnnoticedInData) {
    const TempFolder folder;
    const std::string whole = slurp(write_sample_store(folder / "s", kNames));
    std::mt19937 random(7);
    int noticed = 0;
    constexpr int kTrials = 400;
    for (int trial = 0; trial < kTrials; ++trial) {
        std::string bytes = whole;
        const std::size_t at = random() % bytes.size();
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
        spill(folder / "flipped", bytes);
        std::string message;
        try {
            const VerifyReport report = verify_store(folder / "flipped", {});
            if (!report.problems.empty()) message = report.problems[0].what;
        } catch (const Error& error) {
            message = error.what();
        }
        if (!message.empty()) {
            ++noticed;
            continue;
        }
        // Space between objects is not checked, and holds nothing: all content is as it was.
        const StoreReader store(folder / "flipped");
        EXPECT_EQ(store.meta().config_json, sample_meta().config_json) << at;
        EXPECT_EQ(store.meta().tokenizer, sample_meta().tokenizer) << at;
        for (const std::string& name : kNames)
            EXPECT_EQ(store.info(name).spec, sample_tensor(name).spec) << at;
        for (const std::string& name : kNames)
            for (const auto& [key, array] : sample_tensor(name).arrays)
                EXPECT_EQ(store.read(name).arrays.at(key).bytes, array.bytes) << at;
    }
    EXPECT_GT(noticed, kTrials / 8);
}

TEST(DamagedStore, FilesThatAreNoStoresAreTold) {
    const TempFolder folder;
    spill(folder / "text", "hello, this is no store at all");
    spill(folder / "empty", "");
    for (const char* name : {"text", "empty", "none"}) {
        EXPECT_FALSE(is_store(folder / name));
        EXPECT_THAT(error_of([&] { StoreReader(folder / name); }), HasSubstr(name));
        EXPECT_THAT(error_of([&] { verify_store(folder / name, {}); }), HasSubstr(name));
    }
    EXPECT_FALSE(is_store(folder.path().string()));
    h5::File::create(folder / "other.h5").close();
    EXPECT_TRUE(is_store(folder / "other.h5"));
    EXPECT_THAT(error_of([&] { StoreReader(folder / "other.h5"); }), HasSubstr("not a vqkit file"));
}

/// A store whose last tensor, "evil", is filled by `fill` through the plain HDF5 API.
std::string hostile_store(const std::string& path, const std::function<void(hid_t group)>& fill) {
    write_sample_store(path, {"good", "evil"});
    const h5::Lock lock;
    const h5::Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    const h5::Id file(H5Fopen(path.c_str(), H5F_ACC_RDWR, access.get()), H5Fclose);
    const h5::Id group(H5Gopen2(file.get(), "tensors/evil", H5P_DEFAULT), H5Gclose);
    EXPECT_TRUE(group.valid());
    fill(group.get());
    return path;
}

/// Replaces the dataset "codes" of `group`.
void put_codes(hid_t group, hid_t type, const std::vector<hsize_t>& dims, hid_t options) {
    H5Ldelete(group, "codes", H5P_DEFAULT);
    const h5::Id space(H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr),
                       H5Sclose);
    const h5::Id dataset(
        H5Dcreate2(group, "codes", type, space.get(), H5P_DEFAULT, options, H5P_DEFAULT), H5Dclose);
    EXPECT_TRUE(dataset.valid());
}

void replace_number(hid_t group, const char* name, hid_t type, const void* value) {
    H5Adelete(group, name);
    const h5::Id space(H5Screate(H5S_SCALAR), H5Sclose);
    const h5::Id attribute(H5Acreate2(group, name, type, space.get(), H5P_DEFAULT, H5P_DEFAULT),
                           H5Aclose);
    EXPECT_GE(H5Awrite(attribute.get(), type, value), 0);
}

struct Hostile {
    const char* name;
    std::function<void(hid_t group, const TempFolder& folder)> fill;
    const char* expected;
};

std::vector<Hostile> hostile_files() {
    const auto chunked = [](const std::vector<hsize_t>& chunk) {
        h5::Id options(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
        H5Pset_chunk(options.get(), static_cast<int>(chunk.size()), chunk.data());
        return options;
    };
    return {
        {"huge extents, nothing stored",
         [=](hid_t group, const TempFolder&) {
             put_codes(group, H5T_STD_U8LE, {1ULL << 40}, chunked({1024}).get());
         },
         "claims more elements"},
        {"extents whose product overflows",
         [=](hid_t group, const TempFolder&) {
             put_codes(group, H5T_STD_U8LE, {1ULL << 33, 1ULL << 33}, chunked({64, 64}).get());
         },
         "claims more elements"},
        {"chunks never written",
         [=](hid_t group, const TempFolder&) {
             put_codes(group, H5T_STD_U8LE, {96}, chunked({32}).get());
         },
         "not stored whole"},
        {"huge chunks",
         [=](hid_t group, const TempFolder&) {
             h5::Id options = chunked({1U << 31});
             H5Ldelete(group, "codes", H5P_DEFAULT);
             const hsize_t dims = 96;
             const hsize_t most = H5S_UNLIMITED;
             const h5::Id space(H5Screate_simple(1, &dims, &most), H5Sclose);
             const h5::Id dataset(H5Dcreate2(group, "codes", H5T_STD_U8LE, space.get(), H5P_DEFAULT,
                                             options.get(), H5P_DEFAULT),
                                  H5Dclose);
             EXPECT_TRUE(dataset.valid());
         },
         "too large chunks"},
        {"unknown element type",
         [](hid_t group, const TempFolder&) { put_codes(group, H5T_STD_I64BE, {4}, H5P_DEFAULT); },
         "element type"},
        {"a group where a dataset should be",
         [](hid_t group, const TempFolder&) {
             H5Ldelete(group, "codes", H5P_DEFAULT);
             const h5::Id child(H5Gcreate2(group, "codes", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                                H5Gclose);
         },
         "not a dataset"},
        {"a filter that may load a plugin",
         [=](hid_t group, const TempFolder&) {
             const h5::Id options = chunked({96});
             H5Pset_shuffle(options.get());
             put_codes(group, H5T_STD_U8LE, {96}, options.get());
         },
         "filter"},
        {"raw data in another file",
         [](hid_t group, const TempFolder& folder) {
             const h5::Id options(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
             spill(folder / "raw", std::string(96, 'r'));
             H5Pset_external(options.get(), (folder / "raw").c_str(), 0, 96);
             put_codes(group, H5T_STD_U8LE, {96}, options.get());
         },
         "another file"},
        {"a virtual dataset",
         [](hid_t group, const TempFolder& folder) {
             const h5::Id options(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
             const hsize_t dims = 96;
             const h5::Id space(H5Screate_simple(1, &dims, nullptr), H5Sclose);
             H5Pset_virtual(options.get(), space.get(), (folder / "s2").c_str(), "x", space.get());
             put_codes(group, H5T_STD_U8LE, {96}, options.get());
         },
         "another file"},
        {"an external link",
         [](hid_t group, const TempFolder& folder) {
             write_sample_store(folder / "s2", {"t"});
             H5Ldelete(group, "codes", H5P_DEFAULT);
             H5Lcreate_external((folder / "s2").c_str(), "/tensors/t/codes", group, "codes",
                                H5P_DEFAULT, H5P_DEFAULT);
         },
         "not followed"},
        {"a soft link",
         [](hid_t group, const TempFolder&) {
             H5Ldelete(group, "codes", H5P_DEFAULT);
             H5Lcreate_soft("/tensors/good/codes", group, "codes", H5P_DEFAULT, H5P_DEFAULT);
         },
         "not followed"},
        {"one dataset under very many names",
         [](hid_t group, const TempFolder&) {
             for (int i = 0; i < 100; ++i)
                 H5Lcreate_hard(group, "codes", group, ("c" + std::to_string(i)).c_str(),
                                H5P_DEFAULT, H5P_DEFAULT);
         },
         "too many arrays"},
        {"a missing attribute", [](hid_t group, const TempFolder&) { H5Adelete(group, "rel_mse"); },
         "rel_mse"},
        {"an attribute of the wrong type",
         [](hid_t group, const TempFolder&) {
             const double rows = 24;
             replace_number(group, "rows", H5T_IEEE_F64LE, &rows);
         },
         "wrong type"},
        {"negative rows",
         [](hid_t group, const TempFolder&) {
             const std::int64_t rows = -1;
             replace_number(group, "rows", H5T_STD_I64LE, &rows);
         },
         "absurd shape"},
        {"rows x cols overflows",
         [](hid_t group, const TempFolder&) {
             const std::int64_t huge = std::int64_t{1} << 62;
             replace_number(group, "rows", H5T_STD_I64LE, &huge);
         },
         "absurd shape"},
        {"a spec of variable length",
         [](hid_t group, const TempFolder&) {
             const h5::Id type(H5Tcopy(H5T_C_S1), H5Tclose);
             H5Tset_size(type.get(), H5T_VARIABLE);
             const char* text = "{}";
             replace_number(group, "spec", type.get(), &text);
         },
         "fixed length"},
        {"a spec that is not JSON",
         [](hid_t group, const TempFolder&) {
             replace_number(group, "spec", h5::text_type(3).get(), "{\"a");
         },
         "not valid JSON"},
    };
}

TEST(HostileStore, IsRefusedWithItsReasonAndTensor) {
    for (const Hostile& hostile : hostile_files()) {
        const TempFolder folder;
        const std::string path =
            hostile_store(folder / "s", [&](hid_t group) { hostile.fill(group, folder); });
        EXPECT_THAT(error_of([&] { StoreReader(path).read("evil"); }),
                    AllOf(HasSubstr(hostile.expected), HasSubstr("evil")))
            << hostile.name;
        EXPECT_EQ(error_of([&] { StoreReader(path).read("good"); }), "") << hostile.name;
        const VerifyReport report = verify_store(path, {});
        ASSERT_THAT(report.problems, SizeIs(1)) << hostile.name;
        EXPECT_EQ(report.problems[0].tensor, "evil") << hostile.name;
    }
}

TEST(HostileStore, LinkInPlaceOfATensorIsRefused) {
    const TempFolder folder;
    const std::string path = hostile_store(folder / "s", [](hid_t group) {
        H5Lcreate_soft("/tensors/good", group, "../unused", H5P_DEFAULT, H5P_DEFAULT);
        H5Lcreate_external("other.h5", "/", group, "/tensors/linked", H5P_DEFAULT, H5P_DEFAULT);
    });
    EXPECT_THAT(error_of([&] { StoreReader(path).read("linked"); }), HasSubstr("not followed"));
}

TEST(HostileStore, NewerFormatVersionIsTold) {
    const TempFolder folder;
    const std::string path = hostile_store(folder / "s", [](hid_t group) {
        const h5::Id root(H5Gopen2(group, "/", H5P_DEFAULT), H5Gclose);
        const std::int64_t version = 3;
        replace_number(root.get(), "format_version", H5T_STD_I64LE, &version);
    });
    EXPECT_THAT(error_of([&] { StoreReader reader(path); }), HasSubstr("version 3"));
}

TEST(Verify, CountsWhatItRead) {
    const TempFolder folder;
    const std::string path = write_sample_store(folder / "s", kNames);
    int steps = 0;
    Progress progress;
    progress.step = [&](double, double total, const std::string&) {
        EXPECT_EQ(total, 2);
        ++steps;
    };
    const VerifyReport report = verify_store(path, progress);
    EXPECT_THAT(report.problems, IsEmpty());
    EXPECT_EQ(report.tensors, 2);
    EXPECT_EQ(report.arrays, 6);
    EXPECT_EQ(report.array_bytes, 2 * sample_tensor("x").bytes());
    EXPECT_EQ(report.file_bytes, static_cast<std::int64_t>(fs::file_size(path)));
    EXPECT_EQ(steps, 3);
    progress.cancelled = [] { return true; };
    EXPECT_THROW(verify_store(path, progress), Cancelled);
}

TEST(Verify, NumbersThatCannotBeAreProblems) {
    const TempFolder folder;
    StoredTensor tensor = sample_tensor("t");
    tensor.bits_per_weight = 1;  // less than the arrays take
    tensor.rel_mse = std::numeric_limits<double>::quiet_NaN();
    tensor.spec = Json::object();
    const std::vector<float> bad = {1, std::numeric_limits<float>::infinity()};
    tensor.arrays["row_scale"] = Array::from_f32({2}, bad.data());
    tensor.arrays["nothing"] = Array{ElementType::u8, {0}, {}};
    StoreWriter writer(folder / "s", "fp-1", false);
    writer.write_part(tensor);
    writer.finish(sample_meta(), {"t"});
    std::string all;
    for (const StoreProblem& problem : verify_store(folder / "s", {}).problems) {
        EXPECT_EQ(problem.tensor, "t");
        all += problem.what + "\n";
    }
    EXPECT_THAT(all, AllOf(HasSubstr("rel_mse is nan"), HasSubstr("bits per weight"),
                           HasSubstr("names no code"), HasSubstr("row_scale holds inf at 1"),
                           HasSubstr("nothing is empty")));
}

TEST(Verify, DeeperCheckIsAskedForEveryTensor) {
    const TempFolder folder;
    const std::string path = write_sample_store(folder / "s", kNames);
    const VerifyReport report =
        verify_store(path, {}, [](const StoreMeta& meta, const StoredTensor& tensor) {
            EXPECT_TRUE(meta.shared.contains("layers.0"));
            if (tensor.name == "model.b.weight")
                throw Error("code out of range", tensor.name, "make it again");
        });
    ASSERT_THAT(report.problems, SizeIs(1));
    EXPECT_EQ(report.problems[0].tensor, "model.b.weight");
    EXPECT_THAT(report.problems[0].what, HasSubstr("out of range"));
}

}  // namespace
}  // namespace vq
