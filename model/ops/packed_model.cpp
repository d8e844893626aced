// SPDX-License-Identifier: Apache-2.0
#include "model/ops/packed_model.h"

#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/hash.h"
#include "base/packed/format.h"
#include "io/checkpoints/generation_config.h"

namespace vq {

namespace {

vqd::File open_file(const MappedFile& map) {
    try {
        return {map.bytes().data(), map.bytes().size()};
    } catch (const std::runtime_error& e) {
        // "WHAT: WHERE: WHAT TO DO", where "packed file" stands for this one.
        std::string text = e.what();
        constexpr std::string_view here = ": packed file: ";
        const std::size_t at = text.find(here);
        if (at == std::string::npos) throw Error(text, map.path(), "export it again");
        throw Error(text.substr(0, at), map.path(), text.substr(at + here.size()));
    }
}

class PackedModel final : public WeightSource {
public:
    explicit PackedModel(const std::string& path)
        : path_(path), weights_(std::make_shared<PackedWeights>(path)) {
        const vqd_file* file = weights_->file().get();
        const auto has = [&](const std::string& name) { return weights_->index().contains(name); };
        for (std::size_t i = 0; i < vqd_blob_count(file); ++i) {
            vqd_blob_info blob{};
            vqd_blob(file, i, &blob);
            const std::string name(blob.name, blob.name_bytes);
            std::string content(static_cast<const char*>(blob.data), blob.bytes);
            if (name == "config.json")
                config_ = parse_hf_config(content, path + ": config", families(), has);
            else
                tokenizer_[name] = std::move(content);
        }
        if (config_.hf_json.empty())
            throw Error("no configuration", path, "export the whole store again");
        add_generation_stops(tokenizer_, path, config_);
        for (std::size_t i = 0; i < weights_->file().size(); ++i) {
            const vqd_tensor_info info = weights_->file().info(i);
            names_.emplace_back(info.name, info.name_bytes);
        }
        check_model_tensors(*this, path);
    }

    const ModelConfig& config() const override { return config_; }
    const TokenizerFiles& tokenizer_files() const override { return tokenizer_; }
    const std::vector<std::string>& names() const override { return names_; }
    bool has(const std::string& name) const override { return weights_->index().contains(name); }
    TensorShape shape(const std::string& name) const override {
        const vqd_tensor_info info = weights_->file().info(weights_->find(name));
        return {info.rows, info.cols};
    }
    Matrix read(const std::string& name) const override {
        const std::size_t tensor = weights_->find(name);
        const vqd_tensor_info info = weights_->file().info(tensor);
        Matrix out(info.rows, info.cols);
        vqd::Decoder(weights_->file()).dequantize_rows(tensor, 0, info.rows, out.data());
        if (!out.allFinite())
            throw Error("a weight is not finite", path_ + ": " + name, "export it again");
        return out;
    }
    std::string content_hash() const override {
        Hasher hasher;
        hasher.add(weights_->map().bytes().data(), weights_->map().bytes().size());
        return hasher.hex();
    }
    std::string origin_hash() const override { return {}; }  // a packed file keeps no provenance
    std::shared_ptr<const PackedWeights> packed() const override { return weights_; }

private:
    std::string path_;
    std::shared_ptr<const PackedWeights> weights_;
    ModelConfig config_;
    TokenizerFiles tokenizer_;
    std::vector<std::string> names_;
};

}  // namespace

PackedWeights::PackedWeights(const std::string& path) : map_(path), file_(open_file(map_)) {
    for (std::size_t i = 0; i < file_.size(); ++i) {
        const vqd_tensor_info info = file_.info(i);
        index_[std::string(info.name, info.name_bytes)] = i;
    }
}

std::size_t PackedWeights::find(const std::string& name) const {
    const auto found = index_.find(name);
    if (found == index_.end())
        throw Error("no such tensor", map_.path() + ": " + name, "export the whole store again");
    return found->second;
}

std::unique_ptr<WeightSource> open_packed_model(const std::string& path) {
    return std::make_unique<PackedModel>(path);
}

bool is_packed(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    char magic[sizeof(decode::packed_magic)] = {};
    return file.read(magic, sizeof(magic)) &&
           std::memcmp(magic, decode::packed_magic, sizeof(magic)) == 0;
}

}  // namespace vq
