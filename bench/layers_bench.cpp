// SPDX-License-Identifier: Apache-2.0
// Quantizes single layers of a model under Hessians collected before, and prints their relative
// proxy loss: a way to compare methods in minutes.
//   layers_bench MODEL HESSIANS.h5 METHOD [part.key=value ...] TENSOR ...
//   layers_bench random METHOD [part.key=value ...] ROWSxCOLS ...      Gaussian weights, for speed
//   and memory
// Bits are those of each tensor's own arrays (with codebooks if code.scope=tensor). Memory is the
// peak from before the layer was loaded, and what of it goes beyond two Hessians in fp64, in units
// of the layer's weights in fp32.
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "io/checkpoints/checkpoint.h"
#include "io/hdf5/hessian_file.h"
#include "vq/layer/quantize_layer.h"
#include "vq/run/presets.h"
#include "vq/tensor/code_families.h"
#include "vq/tensor/stored_tensor.h"

namespace {

struct Layer {
    std::string name;
    vq::Matrix w;
    vq::HessianSum h;
};
using Loader = std::function<Layer(const std::string&)>;

Loader of_model(const std::string& model, const std::string& file) {
    const std::shared_ptr<vq::WeightSource> source = vq::open_checkpoint(model);
    const auto hessians = std::make_shared<vq::HessianReader>(file);
    return [=](const std::string& name) {
        const vq::HessianRecord record = hessians->find(name);
        Layer layer{name, source->read(name), {}};
        layer.h.xxt = record.xxt;
        layer.h.x = record.x;
        layer.h.count = record.count;
        return layer;
    };
}

vq::Matrix normal(vq::Index rows, vq::Index cols, std::uint64_t seed) {
    vq::Matrix out(rows, cols);
    for (vq::Index i = 0; i < out.size(); ++i)
        out.data()[i] = static_cast<float>(vq::random_normal(seed, static_cast<std::uint64_t>(i)));
    return out;
}

/// Inputs with neighbours that are alike and a spectrum that falls.
Layer random_layer(const std::string& shape) {
    long rows = 0;
    long cols = 0;
    if (std::sscanf(shape.c_str(), "%ldx%ld", &rows, &cols) != 2 || rows < 1 || cols < 1)
        throw vq::Error("not a shape", shape, "for example 4096x4096");
    Layer layer{"random " + shape, normal(rows, cols, 1), vq::HessianSum(cols)};
    vq::Matrix x = normal(2 * cols, cols, 2);
    for (vq::Index j = 1; j < cols; ++j)
        x.col(j) = 0.7F * x.col(j - 1) + x.col(j) / std::sqrt(1.0F + 0.01F * static_cast<float>(j));
    layer.h.add(x.data(), x.rows());
    return layer;
}

/// A line of /proc/self/status in bytes: "VmRSS", "VmHWM".
double status_bytes(const std::string& key) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.rfind(key + ":", 0) == 0) return 1024 * std::stod(line.substr(key.size() + 1));
    return 0;
}

/// From now on VmHWM is the peak of what follows.
void reset_peak() {
    std::ofstream("/proc/self/clear_refs") << "5";
}

int run(const std::vector<std::string>& arguments) {
    const bool random = !arguments.empty() && arguments[0] == "random";
    const std::size_t method = random ? 1 : 2;
    if (arguments.size() < method + 2) {
        fmt::print(stderr,
                   "usage: layers_bench MODEL HESSIANS.h5 METHOD [key=value ...] TENSOR\n"
                   "       layers_bench random METHOD [key=value ...] ROWSxCOLS\n");
        return 2;
    }
    const Loader load = random ? Loader(random_layer) : of_model(arguments[0], arguments[1]);
    vq::Settings settings = vq::preset_settings(arguments[method]);
    std::vector<std::string> names;
    for (std::size_t i = method + 1; i < arguments.size(); ++i)
        if (arguments[i].find('=') != std::string::npos)
            vq::set_setting(settings, arguments[i]);
        else
            names.push_back(arguments[i]);
    vq::SharedCodes shared;
    if (settings.code.scope == vq::CodebookScope::universal)
        shared = vq::family_of(settings.code).universal(settings.code);
    double sum = 0;
    for (const std::string& name : names) {
        const double before = status_bytes("VmRSS");
        const Layer layer = load(name);
        reset_peak();
        const auto start = std::chrono::steady_clock::now();
        const vq::QuantizedLayer q =
            quantize_layer(layer.w, layer.h, settings, shared, 1, layer.name, {});
        const double seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        const double peak = status_bytes("VmHWM") - before;
        const auto n = static_cast<double>(layer.w.cols());
        const auto weights = static_cast<double>(layer.w.size());
        sum += q.errors.rel_proxy;
        fmt::print(
            "{:<44} {:.3f} bits  rel. proxy {:.4f}  rel. MSE {:.4f}  {:.0f} weights/s  "
            "{:.0f} MB, {:.2f} W + 2 H\n",
            layer.name, store_tensor(layer.name, q, "").bits_per_weight, q.errors.rel_proxy,
            q.errors.rel_mse, weights / seconds, peak / 1e6, (peak - 16 * n * n) / (4 * weights));
        (void)std::fflush(stdout);
    }
    fmt::print("mean rel. proxy {:.5f}\n", sum / static_cast<double>(names.size()));
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run({argv + 1, argv + argc});
    } catch (const std::exception& error) {
        fmt::print(stderr, "error: {}\n", error.what());
        return 1;
    }
}
