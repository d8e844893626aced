// SPDX-License-Identifier: Apache-2.0
#include "vq/tensor/stored_model.h"

#include "base/error.h"
#include "base/hash.h"
#include "io/checkpoints/generation_config.h"
#include "vq/tensor/stored_tensor.h"

namespace vq {

namespace {

class StoredModel final : public WeightSource {
public:
    explicit StoredModel(const std::string& path)
        : path_(path),
          reader_(path),
          config_(parse_hf_config(reader_.meta().config_json, path + ": config", families(),
                                  [&](const std::string& name) { return reader_.has(name); })) {
        add_generation_stops(reader_.meta().tokenizer, path, config_);
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
    std::vector<std::int64_t> dims(const std::string& name) const override {
        require(name);
        return stored_dims(reader_.info(name));
    }
    Matrix read(const std::string& name) const override {
        require(name);
        return decode_stored(reader_.read(name), reader_.meta().shared);
    }
    std::string content_hash() const override {
        // The fingerprint covers all that the weights were made from; where the file lies is not
        // part of what it holds.
        return hash_hex("store " + reader_.meta().fingerprint);
    }
    std::string origin_hash() const override {
        const Json& provenance = reader_.meta().provenance;
        if (!provenance.is_object() || !provenance.contains("model_hash") ||
            !provenance["model_hash"].is_string())
            return {};
        return provenance["model_hash"];
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
