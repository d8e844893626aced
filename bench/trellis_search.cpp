// SPDX-License-Identifier: Apache-2.0
// Searches computed codes for the trellis: functions of a 16-bit state that take few instructions
// on 16-bit lanes and look Gaussian along every path. For each family it draws constants at random,
// measures all of them on little data, the best again on more and fresh data, and prints the
// relative mean squared error on an endless path of a Gaussian.
//   build/bench/trellis_search [--bits K] [--constants N] [--weights N] [--seed N] [FAMILY...]
//   build/bench/trellis_search --given "A B C D" FAMILY      these constants alone, hexadecimal
// One minute a family and core with the default numbers.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "base/rng.h"
#include "lattice/trellis/trellis_function.h"
#include "lattice/trellis/viterbi.h"

namespace {

using Index = std::int64_t;
using Word = std::uint16_t;

struct Constants {
    Word a, b, c, d;
};

Word low(Word s, Word c) {
    return static_cast<Word>(std::uint32_t{s} * c);
}
Word high(Word s, Word c) {
    return static_cast<Word>(std::uint32_t{s} * c >> 16);
}
Word swapped(Word s) {
    return static_cast<Word>(s << 8 | s >> 8);
}
Word sum(Word a, Word b) {
    return static_cast<Word>(a + b);
}
int bytes(Word w) {
    return (w & 0xFF) + (w >> 8);
}

/// Instructions are those that make the words of 32 states from the states, without the two that
/// sum their bytes.
struct Family {
    const char* name;
    int instructions;
    std::function<int(Word, const Constants&)> value;
};

const std::vector<Family>& families() {
    static const std::vector<Family> all = {
        {"product-32", 4,  // s * (a + 2^16 b) mod 2^32
         [](Word s, const Constants& k) {
             return bytes(low(s, k.a)) + bytes(sum(high(s, k.a), low(s, k.b)));
         }},
        {"product-32-twice-a", 3,  // the same with b = a
         [](Word s, const Constants& k) {
             return bytes(low(s, k.a)) + bytes(sum(high(s, k.a), low(s, k.a)));
         }},
        {"product-32-b-1", 3,  // the same with b = 1
         [](Word s, const Constants& k) {
             return bytes(low(s, k.a)) + bytes(sum(high(s, k.a), s));
         }},
        {"product-32-b-minus-1", 3,
         [](Word s, const Constants& k) {
             return bytes(low(s, k.a)) + bytes(static_cast<Word>(high(s, k.a) - s));
         }},
        {"product-32-xor", 3,
         [](Word s, const Constants& k) {
             const Word p = low(s, k.a);
             return bytes(p) + bytes(static_cast<Word>(high(s, k.a) ^ p));
         }},
        {"two-products", 2,
         [](Word s, const Constants& k) { return bytes(low(s, k.a)) + bytes(low(s, k.b)); }},
        {"two-products-added", 4,
         [](Word s, const Constants& k) {
             return bytes(sum(low(s, k.a), k.c)) + bytes(sum(low(s, k.b), k.d));
         }},
        {"two-products-swapped", 3,
         [](Word s, const Constants& k) {
             return bytes(low(s, k.a)) + bytes(low(swapped(s), k.b));
         }},
        {"low-and-high", 2,
         [](Word s, const Constants& k) { return bytes(low(s, k.a)) + bytes(high(s, k.b)); }},
        {"product-of-product", 2,  // the high half of a hashed state times the state
         [](Word s, const Constants& k) {
             const Word p = low(s, k.a);
             return bytes(p) + bytes(high(p, s));
         }},
        {"two-high-halves", 2,
         [](Word s, const Constants& k) { return bytes(high(s, k.a)) + bytes(high(s, k.b)); }},
        {"product-and-swapped", 3,  // the second word is the first plus the byte-swapped state
         [](Word s, const Constants& k) {
             const Word p = low(s, k.a);
             return bytes(p) + bytes(sum(p, swapped(s)));
         }},
        {"product-xor-swapped", 3,
         [](Word s, const Constants& k) {
             const Word p = low(s, k.a);
             return bytes(p) + bytes(static_cast<Word>(p ^ swapped(s)));
         }},
        {"swapped-product-and-state", 3,
         [](Word s, const Constants& k) {
             const Word p = low(s, k.a);
             return bytes(p) + bytes(sum(swapped(p), s));
         }},
        {"one-word", 1, [](Word s, const Constants& k) { return bytes(low(s, k.a)); }},
        {"one-word-plus-swapped", 3,
         [](Word s, const Constants& k) { return bytes(sum(low(s, k.a), swapped(s))); }},
        {"one-word-two-products", 4,
         [](Word s, const Constants& k) { return bytes(sum(low(s, k.a), low(swapped(s), k.b))); }},
        {"one-word-high-and-low", 3,
         [](Word s, const Constants& k) { return bytes(sum(low(s, k.a), high(s, k.b))); }},
        {"swapped-word-and-state", 3,  // hash of both halves, and the state as it is
         [](Word s, const Constants& k) {
             const Word p = sum(low(s, k.a), swapped(s));
             return bytes(p) + bytes(s);
         }},
    };
    return all;
}

/// Values of the variance that a code of K bits wants: that of the product's code.
std::vector<float> values_of(const Family& family, const Constants& k, int bits) {
    std::vector<double> raw(vq::trellis_states);
    double mean = 0;
    for (std::size_t s = 0; s < raw.size(); ++s)
        mean += raw[s] = family.value(static_cast<Word>(s), k);
    mean /= static_cast<double>(raw.size());
    double variance = 0;
    for (const double v : raw) variance += (v - mean) * (v - mean);
    variance /= static_cast<double>(raw.size());
    const double wanted = std::sqrt(4 * 65535 / 12.0) * vq::trellis_gain(bits);
    std::vector<float> values(raw.size());
    for (std::size_t s = 0; s < raw.size(); ++s)
        values[s] = static_cast<float>(
            std::clamp((raw[s] - mean) * wanted / std::sqrt(variance), -3.89, 3.89));
    return values;
}

constexpr int steps = 1024;
constexpr int seam = 64;  // steps at both ends that do not count

double distortion(const std::vector<float>& values, int bits, Index weights, std::uint64_t seed) {
    const vq::Viterbi viterbi(values, bits);
    const Index paths = std::max<Index>(1, weights / (steps - 2 * seam));
    vq::ViterbiWorkspace workspace;
    std::vector<float> x(steps);
    std::vector<Word> states(steps);
    double error = 0;
    double power = 0;
    for (Index p = 0; p < paths; ++p) {
        for (int i = 0; i < steps; ++i)
            x[static_cast<std::size_t>(i)] = static_cast<float>(
                vq::random_normal(seed, static_cast<std::uint64_t>(p * steps + i)));
        viterbi.encode_open(x.data(), steps, workspace, states.data());
        for (std::size_t i = seam; i < steps - seam; ++i) {
            error += std::pow(double{x[i]} - double{values[states[i]]}, 2);
            power += double{x[i]} * double{x[i]};
        }
    }
    return error / power;
}

struct Candidate {
    Constants k{};
    double mse = 0;
};

void measure(const Family& family, std::vector<Candidate>& some, int bits, Index weights,
             std::uint64_t seed) {
    vq::parallel_for(static_cast<Index>(some.size()), [&](Index i) {
        Candidate& c = some[static_cast<std::size_t>(i)];
        c.mse = distortion(values_of(family, c.k, bits), bits, weights, seed);
    });
    std::sort(some.begin(), some.end(),
              [](const Candidate& a, const Candidate& b) { return a.mse < b.mse; });
}

void search(const Family& family, int bits, Index constants, Index weights, std::uint64_t seed) {
    std::vector<Candidate> all(static_cast<std::size_t>(constants));
    for (std::size_t i = 0; i < all.size(); ++i) {
        const std::uint64_t r = vq::random_bits(seed, i);
        all[i].k = {static_cast<Word>(r | 1), static_cast<Word>(r >> 16 | 1),
                    static_cast<Word>(r >> 32), static_cast<Word>(r >> 48)};
    }
    measure(family, all, bits, weights, seed + 1);
    double mean = 0;
    for (const Candidate& c : all) mean += c.mse / static_cast<double>(all.size());
    all.resize(std::min<std::size_t>(all.size(), 8));
    measure(family, all, bits, 16 * weights, seed + 2);  // fresh data: the first choice was lucky
    all.resize(std::min<std::size_t>(all.size(), 2));
    measure(family, all, bits, 64 * weights, seed + 3);
    const Candidate& best = all.front();
    fmt::print("| {} | {} | {:.4f} | {:.4f} | {:04X} {:04X} {:04X} {:04X} |\n", family.name,
               family.instructions, mean, best.mse, best.k.a, best.k.b, best.k.c, best.k.d);
    std::fflush(stdout);
}

void measure_given(const Family& family, const Constants& k, int bits, Index weights,
                   std::uint64_t seed) {
    std::vector<Candidate> one = {{k, 0}};
    measure(family, one, bits, 64 * weights, seed + 3);
    fmt::print("{} {:04X} {:04X} {:04X} {:04X}: {:.5f}\n", family.name, k.a, k.b, k.c, k.d,
               one.front().mse);
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("searches computed codes for the trellis");
    int bits = 2;
    Index constants = 60;
    Index weights = 8000;
    std::uint64_t seed = 1;
    std::string given;
    std::vector<std::string> names;
    app.add_option("--given", given, "four constants to measure instead of a search");
    app.add_option("--bits", bits, "K, bits a weight")->check(CLI::Range(1, 4));
    app.add_option("--constants", constants, "to draw a family")->check(CLI::Range(1, 100000));
    app.add_option("--weights", weights,
                   "of the first measurement; the last takes 64 times as many")
        ->check(CLI::Range(1000, 10000000));
    app.add_option("--seed", seed);
    app.add_option("FAMILY", names, "all where none is named");
    CLI11_PARSE(app, argc, argv);
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    if (!given.empty() && std::sscanf(given.c_str(), "%x %x %x %x", &a, &b, &c, &d) != 4) {
        fmt::print(stderr, "error: not four hexadecimal numbers: --given \"{}\"\n", given);
        return 1;
    }
    const Constants chosen{static_cast<Word>(a), static_cast<Word>(b), static_cast<Word>(c),
                           static_cast<Word>(d)};
    if (given.empty())
        fmt::print("| family | instructions | mean of {} | best, {} weights | constants |\n",
                   constants, 64 * weights);
    if (given.empty()) fmt::print("|---|---|---|---|---|\n");
    bool found = names.empty();
    for (const Family& family : families()) {
        if (!names.empty() && std::find(names.begin(), names.end(), family.name) == names.end())
            continue;
        found = true;
        if (given.empty())
            search(family, bits, constants, weights, seed);
        else
            measure_given(family, chosen, bits, weights, seed);
    }
    if (!found) {
        fmt::print(stderr, "error: no such family: {}\n", names.front());
        return 1;
    }
    return 0;
}
