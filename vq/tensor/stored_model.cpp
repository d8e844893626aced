// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/stored_model.h"

#include "base/error.h"
#include "base/hash.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {

namespace {

class StoredModel final : public WeightSource {
public:
    explicit StoredModel(const std::string& path)
        : path_(path),
          reader_(path),
          config_(parse_hf_config(reader_.meta().config_json, path + ": config")) {
        check_model_tensors(*this, path);
    }

    const ModelConfig& config() const override { return config_; }
    const TokenizerFiles& tokenizer_files() const override { return reader_.meta().tokenizer; }
    const std::vector<std::string>& names() const override { return reader_.names(); }
    bool has(const std::string& name) const override { return reader_.has(name); }
    TensorShape shape(const std::string& name) const override {
        require(name);
        return reader_.info(name).shape;
    }
    Matrix read(const std::string& name) const override {
        require(name);
        return decode_stored(reader_.read(name), reader_.meta().shared);
    }
    std::string content_hash() const override {
        return hash_hex(reader_.meta().fingerprint + path_);
    }

private:
    void require(const std::string& name) const {
        if (!reader_.has(name))
            throw Error("no such tensor", path_ + ": " + name,
                        "see `vq inspect` for what there is");
    }

    std::string path_;
    StoreReader reader_;
    ModelConfig config_;
};

}  // namespace

std::unique_ptr<WeightSource> open_stored_model(const std::string& path) {
    return std::make_unique<StoredModel>(path);
}

StoreSize store_size(const StoreReader& store) {
    StoreSize size;
    double bits = 0;
    for (const std::string& name : store.names()) {
        const StoredTensor info = store.info(name);
        const auto weights = static_cast<double>(info.shape.rows * info.shape.cols);
        if (is_dense(info)) {
            size.dense_weights += weights;
            continue;
        }
        size.quantized_weights += weights;
        bits += info.bits_per_weight * weights;  // shared codebooks' share included
    }
    if (size.quantized_weights > 0) size.bits_per_weight = bits / size.quantized_weights;
    return size;
}

std::vector<std::string> verify_codes(const std::string& path, const Progress& progress) {
    const StoreReader reader(path);
    std::vector<std::string> problems;
    double done = 0;
    for (const std::string& name : reader.names()) {
        progress.check();
        progress.report(done++, static_cast<double>(reader.names().size()), name);
        try {
            decode_stored(reader.read(name), reader.meta().shared);
        } catch (const Error& e) {
            problems.emplace_back(e.what());
        }
    }
    return problems;
}

}  // namespace vq
