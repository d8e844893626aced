// Quantizes single layers of a model under Hessians collected before, and prints their relative
// proxy loss: a way to compare methods in minutes.
//   layers_bench MODEL HESSIANS.h5 METHOD [part.key=value ...] TENSOR ...
// Bits are those of each tensor's own arrays (with codebooks if code.scope=tensor).
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/checkpoint.h"
#include "io/hessian_file.h"
#include "vq/code_spec.h"
#include "vq/presets.h"
#include "vq/quantize_layer.h"
#include "vq/stored_tensor.h"

namespace {

int run(const std::vector<std::string>& arguments) {
    if (arguments.size() < 4) {
        fmt::print(stderr, "usage: layers_bench MODEL HESSIANS.h5 METHOD [key=value ...] TENSOR\n");
        return 2;
    }
    const auto source = vq::open_checkpoint(arguments[0]);
    const vq::HessianReader hessians(arguments[1]);
    vq::Settings settings = vq::preset_settings(arguments[2]);
    std::vector<std::string> names;
    for (std::size_t i = 3; i < arguments.size(); ++i)
        if (arguments[i].find('=') != std::string::npos)
            vq::set_setting(settings, arguments[i]);
        else
            names.push_back(arguments[i]);
    vq::SharedCodes shared;
    if (settings.code.scope == vq::CodebookScope::universal && has_codebooks(settings.code))
        for (const auto& [name, code] : vq::universal_choices(settings))
            shared.push_back({name, code});
    double sum = 0;
    for (const std::string& name : names) {
        const vq::HessianRecord record = hessians.find(name);
        vq::HessianSum h;
        h.xxt = record.xxt;
        h.x = record.x;
        h.count = record.count;
        const vq::Matrix w = source->read(name);
        const auto start = std::chrono::steady_clock::now();
        const vq::QuantizedLayer q = quantize_layer(w, h, settings, shared, 1, name, {});
        const double seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        sum += q.errors.rel_proxy;
        fmt::print("{:<44} {:.3f} bits  rel. proxy {:.4f}  rel. MSE {:.4f}  {:.0f} weights/s\n",
                   name, store_tensor(name, q, "").bits_per_weight, q.errors.rel_proxy,
                   q.errors.rel_mse, static_cast<double>(w.size()) / seconds);
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
