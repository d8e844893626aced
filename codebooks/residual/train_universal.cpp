// SPDX-License-Identifier: Apache-2.0
// Trains one universal codebook on Gaussian vectors and writes it as .npy (fp16), with its
// distortion on vectors that it was not trained on:
//   train_universal DIM STAGE_BITS SAMPLES ROUNDS OUT.npy
//   train_universal 8 9+9 1000000 15 codebooks/data/gauss_d8_9_9.npy
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "base/half.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "codebooks/residual/universal.h"

namespace {

vq::Matrix gaussian(vq::Index n, vq::Index d, std::uint64_t seed) {
    vq::Matrix x(n, d);
    vq::parallel_for((n + 4095) / 4096, [&](vq::Index b) {
        for (vq::Index i = b * 4096 * d; i < std::min(n, (b + 1) * 4096) * d; ++i)
            x.data()[i] =
                static_cast<float>(vq::random_normal(seed, static_cast<std::uint64_t>(i)));
    });
    return x;
}

double distortion(const vq::Code& code, const vq::Matrix& x) {
    const vq::Index blocks = (x.rows() + 255) / 256;
    std::vector<double> sums(static_cast<std::size_t>(blocks), 0.0);
    vq::parallel_for(blocks, [&](vq::Index b) {
        const vq::Index i = b * 256;
        const vq::Index n = std::min<vq::Index>(256, x.rows() - i);
        std::vector<std::uint64_t> codes(static_cast<std::size_t>(n));
        vq::Matrix xhat(n, x.cols());
        code.encode(x.data() + i * x.cols(), n, nullptr, codes.data(), xhat.data());
        sums.data()[b] = (x.middleRows(i, n) - xhat).cast<double>().squaredNorm();
    });
    double sum = 0;
    for (const double s : sums) sum += s;
    return sum / x.cast<double>().squaredNorm();
}

int run(int argc, char** argv) {
    if (argc != 6) {
        fmt::print(stderr, "usage: train_universal DIM STAGE_BITS SAMPLES ROUNDS OUT.npy\n");
        return 2;
    }
    const int dim = std::stoi(argv[1]);
    std::vector<int> bits;
    std::stringstream list(argv[2]);
    for (std::string b; std::getline(list, b, '+');) bits.push_back(std::stoi(b));
    vq::ResidualTraining training;
    training.seed = 20240517;
    training.beam = 16;
    training.kmeans_iterations = 40;
    training.joint_rounds = std::stoi(argv[4]);
    const vq::Matrix x = gaussian(std::stoll(argv[3]), dim, 1);
    const auto code = vq::train_residual(x.data(), x.rows(), dim, bits, nullptr, training);
    const vq::Matrix held_out = gaussian(200000, dim, 2);
    fmt::print("{}: {} bits a weight, training MSE {:.5f}, held out {:.5f}\n",
               vq::universal_name(dim, bits), static_cast<double>(code->bits()) / dim,
               distortion(*code, x), distortion(*code, held_out));
    const std::vector<float> p = code->parameters();
    std::string header =
        fmt::format("{{'descr': '<f2', 'fortran_order': False, 'shape': ({}, {}), }}",
                    p.size() / static_cast<std::size_t>(dim), dim);
    header.append(63 - (10 + header.size()) % 64, ' ');
    header += '\n';
    std::ofstream out(argv[5], std::ios::binary);
    out.write("\x93NUMPY\x01\x00", 8);
    out.put(static_cast<char>(header.size() & 0xFF));
    out.put(static_cast<char>(header.size() >> 8));
    out << header;
    for (const float v : p) {
        const vq::Half h = vq::half_from_float(v);
        out.put(static_cast<char>(h & 0xFF));
        out.put(static_cast<char>(h >> 8));
    }
    return out.good() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& e) {
        fmt::print(stderr, "error: {}\n", e.what());
        return 1;
    }
}
