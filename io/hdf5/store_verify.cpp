// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5/store_verify.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cmath>
#include <memory>
#include <optional>

#include "base/error.h"
#include "io/files/atomic_file.h"
#include "io/hdf5/h5.h"
#include "io/hdf5/store_layout.h"

namespace vq {

namespace {

class Verifier {
public:
    Verifier(const StoreReader& store, VerifyReport& report, const TensorCheck& check)
        : store_(store), report_(report), check_(check) {}

    void tensor(const std::string& name) {
        ++report_.tensors;
        StoredTensor tensor;
        try {
            tensor = store_.read(name);
        } catch (const Error& error) {
            add(name, error.what());
            return;
        }
        report_.arrays += static_cast<std::int64_t>(tensor.arrays.size());
        report_.array_bytes += tensor.bytes();
        numbers(tensor);
        arrays(tensor);
        if (!check_) return;
        try {
            check_(store_.meta(), tensor);
        } catch (const Error& error) {
            add(name, error.what());
        }
    }

private:
    void add(const std::string& tensor, std::string what) {
        report_.problems.push_back({tensor, std::move(what)});
    }

    void numbers(const StoredTensor& tensor) {
        const std::pair<const char*, double> values[] = {
            {"bits_per_weight", tensor.bits_per_weight},
            {"rel_mse", tensor.rel_mse},
            {"rel_proxy", tensor.rel_proxy}};
        for (const auto& [key, value] : values)
            if (!std::isfinite(value) || value < 0)
                add(tensor.name, fmt::format("{} is {}", key, value));
        const auto code = tensor.spec.find("code");
        if (code == tensor.spec.end() || !(code->is_string() || code->is_object()))
            add(tensor.name, "the spec names no code");
        // The arrays are this tensor's own bits; shared codebooks only add to them.
        const double weights =
            static_cast<double>(tensor.shape.rows) * static_cast<double>(tensor.shape.cols);
        const double own = 8.0 * static_cast<double>(tensor.bytes()) / weights;
        if (tensor.bits_per_weight < own * (1 - 1e-9))
            add(tensor.name, fmt::format("states {} bits per weight, but its arrays take {}",
                                         tensor.bits_per_weight, own));
    }

    void arrays(const StoredTensor& tensor) {
        if (tensor.arrays.empty()) add(tensor.name, "has no arrays");
        for (const auto& [name, array] : tensor.arrays) {
            if (array.count() == 0) add(tensor.name, fmt::format("array {} is empty", name));
            if (array.type != ElementType::f16 && array.type != ElementType::f32 &&
                array.type != ElementType::f64)
                continue;
            const std::vector<float> values = array.to_f32();
            for (std::size_t i = 0; i < values.size(); ++i) {
                if (std::isfinite(values[i])) continue;
                add(tensor.name, fmt::format("array {} holds {} at {}", name, values[i], i));
                break;
            }
        }
    }

    const StoreReader& store_;
    VerifyReport& report_;
    const TensorCheck& check_;
};

/// Datasets without a checksum: their bytes cannot be vouched for.
void find_unchecksummed(const std::string& path, VerifyReport& report) {
    const h5::Lock lock;
    const h5::File file = h5::File::open(path);
    const h5::Group root = file.root();
    const auto look = [&](const h5::Group& group, const std::string& link,
                          const std::string& tensor) {
        const h5::DatasetInfo info = group.info(link);
        if (!info.checksummed && info.bytes() > 0)
            report.problems.push_back({tensor, group.where(link) + " has no checksum"});
    };
    for (const char* name : {"tokenizer", "codebooks"}) {
        const h5::Group group = root.group(name);
        for (const std::string& link : group.children()) look(group, link, "");
    }
    const h5::Group tensors = root.group("tensors");
    for (const std::string& name : tensors.children()) {
        try {
            const h5::Group group = tensors.group(name);
            for (const std::string& link : group.children()) look(group, link, unescape_link(name));
        } catch (const Error&) {  // said already when the tensor was read
        }
    }
}

}  // namespace

VerifyReport verify_store(const std::string& path, const Progress& progress,
                          const TensorCheck& check) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) throw system_error("read", path, errno);
    if (!is_store(path))
        throw Error("not a store (no HDF5 file)", path, "give a file that vq quantize wrote");
    VerifyReport report;
    report.file_bytes = status.st_size;
    std::unique_ptr<StoreReader> store;
    try {
        store = std::make_unique<StoreReader>(path);
        find_unchecksummed(path, report);
    } catch (const Error& error) {
        report.problems.push_back({"", error.what()});
        if (!store) return report;
    }
    for (const auto& [name, array] : store->meta().shared)
        if (array.count() == 0) report.problems.push_back({"", "codebook " + name + " is empty"});
    if (store->names().empty()) report.problems.push_back({"", "the store holds no tensors"});
    Verifier verifier(*store, report, check);
    const auto total = static_cast<double>(store->names().size());
    for (const std::string& name : store->names()) {
        progress.check();
        progress.report(static_cast<double>(report.tensors), total, name);
        verifier.tensor(name);
    }
    progress.report(total, total, "done");
    return report;
}

}  // namespace vq
