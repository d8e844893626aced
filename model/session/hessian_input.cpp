// SPDX-License-Identifier: Apache-2.0
#include "model/session/hessian_input.h"

#include <fstream>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "io/hdf5/hessian_file.h"

namespace vq {
namespace {

std::string hash_of_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    Hasher hasher;
    std::vector<char> buffer(std::size_t{1} << 20);
    while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) ||
           file.gcount() > 0)
        hasher.add(buffer.data(), static_cast<std::size_t>(file.gcount()));
    if (file.bad()) throw Error("cannot read the Hessians", path, "check the disk");
    return hasher.hex();
}

}  // namespace

HessianInput open_hessians(const std::string& path, const std::string& model_hash) {
    const auto reader = std::make_shared<HessianReader>(path);
    if (reader->meta().model_hash != model_hash)
        throw Error("the Hessians are of another model", path,
                    "collect them from this model with `vq hessian collect`");
    const auto lookup = [reader, path](const LinearGroup& group) {
        HessianRecord record = reader->find(group.names.front());
        if (record.names != group.names || record.xxt.rows() != group.cols)
            throw Error("the Hessian does not fit the layer", path + ": " + group.names.front(),
                        "collect Hessians from this model with `vq hessian collect`");
        HessianSum sum;
        sum.xxt = std::move(record.xxt);
        sum.x = std::move(record.x);
        sum.count = record.count;
        return sum;
    };
    return {lookup, hash_of_file(path)};
}

}  // namespace vq
