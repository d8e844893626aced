// SPDX-License-Identifier: Apache-2.0
// The decode library by itself: no test framework, nothing but its own headers and the standard
// library, so that it runs wherever the library is built, under an emulator too.
//     every_code_test every_code.vqp            on every instruction set that the machine has
//     every_code_test every_code.vqp avx2       on this one; exit code 77: the machine lacks it
// every_code.vqp holds, after each coded tensor, the weights that it stands for.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "decode/vqkit_decode.hpp"

namespace {

constexpr double eps = std::numeric_limits<float>::epsilon();
constexpr std::size_t batch = 5;
int failures = 0;

void fail(const std::string& what) {
    std::printf("FAILED %s\n", what.c_str());
    ++failures;
}

/// Tasks backwards: no result may depend on their order.
void backwards(void*, std::size_t n, vqd_task task, void* context) {
    for (std::size_t i = n; i-- > 0;) task(context, i);
}

/// A file in memory, aligned as vqd_open asks.
class Bytes {
public:
    explicit Bytes(const std::vector<char>& content)
        : size_(content.size()),
          data_(std::aligned_alloc(64, (content.size() + 63) / 64 * 64), &std::free) {
        std::memcpy(data_.get(), content.data(), size_);
    }
    const void* data() const { return data_.get(); }
    std::size_t size() const { return size_; }

private:
    std::size_t size_;
    std::unique_ptr<void, void (*)(void*)> data_;
};

/// (batch, cols) numbers in [-1, 1) from a congruential generator.
std::vector<float> activations(std::int64_t cols) {
    std::vector<float> x(batch * static_cast<std::size_t>(cols));
    std::uint64_t state = 1;
    for (float& v : x) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        v = static_cast<float>(static_cast<double>(state >> 40) / (1 << 23) - 1);
    }
    return x;
}

struct Reference {
    std::vector<double> y;  ///< (batch, rows)
    double size = 0;        ///< the largest sum of |W| |x| in a row
};

Reference reference(const std::vector<float>& w, std::size_t rows, std::size_t cols,
                    const std::vector<float>& x) {
    Reference out;
    out.y.assign(batch * rows, 0.0);
    for (std::size_t b = 0; b < batch; ++b)
        for (std::size_t r = 0; r < rows; ++r) {
            double size = 0;
            for (std::size_t j = 0; j < cols; ++j) {
                const double product = static_cast<double>(w[r * cols + j]) * x[b * cols + j];
                out.y[b * rows + r] += product;
                size += std::abs(product);
            }
            out.size = std::max(out.size, size);
        }
    return out;
}

/// What one tensor gives with integer sums, which is the same on all instruction sets. A product
/// without such a kernel, in which nothing is rounded to 8 bits, is left out.
using Integers = std::vector<float>;

Integers check_tensor(const vqd::File& file, std::size_t tensor) {
    const vqd_tensor_info info = file.info(tensor);
    const std::string name(info.name, info.name_bytes);
    const std::string where = name + " on " + file.isa();
    const auto rows = static_cast<std::size_t>(info.rows);
    const auto cols = static_cast<std::size_t>(info.cols);
    vqd::Decoder serial(file), threaded(file, {backwards, nullptr});

    std::vector<float> w(rows * cols), decoded(rows * cols);
    serial.dequantize_rows(file.find(name + "/weights"), 0, info.rows, w.data());
    serial.dequantize_rows(tensor, 0, info.rows, decoded.data());
    float largest = 0;
    double furthest = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
        largest = std::max(largest, std::abs(w[i]));
        furthest = std::max(furthest, std::abs(static_cast<double>(decoded[i]) - w[i]));
    }
    // A rotation adds one rounding a level of its butterflies, at most 8 levels here, on both sides.
    if (!(furthest <= 64 * eps * largest)) fail(where + ": decoded weights are wrong");

    const std::vector<float> x = activations(info.cols);
    const Reference expected = reference(w, rows, cols, x);
    const double rounding = (static_cast<double>(cols) + 64) * eps * expected.size;
    Integers out;
    for (const vqd_mode mode : {VQD_EXACT, VQD_INT8}) {
        const std::string what = where + (mode == VQD_EXACT ? ", exact" : ", int8");
        std::vector<float> one(rows), many(batch * rows), again(batch * rows);
        serial.matvec(tensor, x.data(), one.data(), mode);
        serial.matmul(tensor, x.data(), batch, many.data(), mode);
        threaded.matmul(tensor, x.data(), batch, again.data(), mode);
        if (many != again) fail(what + ": results depend on the order of tasks");
        for (const std::vector<float>* y : {&one, &many}) {
            double error = 0, power = 0, most = 0;
            for (std::size_t i = 0; i < y->size(); ++i) {
                const double e = static_cast<double>((*y)[i]) - expected.y[i];
                error += e * e;
                power += expected.y[i] * expected.y[i];
                most = std::max(most, std::abs(e));
            }
            if (mode == VQD_EXACT && !(most <= rounding)) fail(what + ": products are wrong");
            // Activations and codewords in 8 bits: 1e-4 of the variance each (packed-format.md).
            if (mode == VQD_INT8 && !(error <= 1e-3 * power)) fail(what + ": products are wrong");
            if (mode == VQD_INT8 && most > rounding) out.insert(out.end(), y->begin(), y->end());
        }
    }
    return out;
}

std::vector<Integers> check_file(const Bytes& bytes) {
    const vqd::File file(bytes.data(), bytes.size());
    std::vector<Integers> out;
    std::vector<std::string> kinds;
    for (std::size_t i = 0; i < file.size(); ++i) {
        const std::string kind = file.info(i).code;
        if (kind == "f32") continue;
        kinds.push_back(kind);
        out.push_back(check_tensor(file, i));
    }
    std::sort(kinds.begin(), kinds.end());
    kinds.erase(std::unique(kinds.begin(), kinds.end()), kinds.end());
    std::printf("%zu tensors of %zu layouts on %s\n", out.size(), kinds.size(), file.isa());
    if (kinds.size() < 7) fail("every_code.vqp lacks layouts");
    return out;
}

void check_damaged(const std::vector<char>& content) {
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{71}, std::size_t{72},
                                    content.size() / 2, content.size() - 1}) {
        const Bytes shorter(
            {content.begin(), content.begin() + static_cast<std::ptrdiff_t>(bytes)});
        vqd_file* file = nullptr;
        char message[256] = "";
        if (vqd_open(shorter.data(), bytes, &file, message, sizeof(message)) == VQD_OK ||
            file != nullptr || message[0] == '\0')
            fail("a file of " + std::to_string(bytes) + " bytes is not refused with a reason");
        vqd_close(file);
    }
}

/// Makes vqd_open take this instruction set; false where the machine lacks it.
bool choose(const std::string& isa, const Bytes& bytes) {
    setenv("VQ_ISA", isa.c_str(), 1);
    vqd_file* file = nullptr;
    const vqd_status status = vqd_open(bytes.data(), bytes.size(), &file, nullptr, 0);
    vqd_close(file);
    return status != VQD_BAD_ISA;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2 && argc != 3) return 2;
    std::ifstream stream(argv[1], std::ios::binary);
    const std::vector<char> content{std::istreambuf_iterator<char>(stream), {}};
    const Bytes bytes(content);
    try {
        if (vqd_version() != VQD_VERSION) fail("header and library are of different versions");
        check_damaged(content);
        const std::string only = argc == 3 ? argv[2] : "";
        if (!only.empty() && !choose(only, bytes)) {
            std::printf("%s: not run, this machine lacks it\n", only.c_str());
            return 77;
        }
        choose("scalar", bytes);
        const std::vector<Integers> expected = check_file(bytes);
        for (const std::string isa : {"avx2", "avx512", "amx"}) {
            if ((!only.empty() && only != isa) || !choose(isa, bytes)) continue;
            if (check_file(bytes) != expected) fail(isa + ": other results than scalar code has");
        }
    } catch (const std::exception& error) {
        fail(error.what());
    }
    return failures == 0 ? 0 : 1;
}
