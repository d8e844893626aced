// SPDX-License-Identifier: Apache-2.0
#include "model/ops/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "base/rng.h"
#include "io/families/layer_config.h"

namespace vq {
namespace {

constexpr double eps = 0x1.0p-24;  // half an ulp of 1
constexpr Index sizes[] = {1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 129, 514};

std::vector<Isa> available() {
    std::vector<Isa> out;
    for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512})
        if (isa <= detect_isa()) out.push_back(isa);
    return out;
}

// n values one float off any alignment, with room behind that must not change.
struct Buffer {
    std::vector<float> all;
    Index n;
    Buffer(Index count, double scale, std::uint64_t seed)
        : all(static_cast<std::size_t>(count) + 2, 7.0F), n(count) {
        for (Index i = 0; i < n; ++i)
            data()[i] =
                static_cast<float>(scale * random_normal(seed, static_cast<std::uint64_t>(i)));
    }
    float* data() { return all.data() + 1; }
    double at(Index i) { return data()[i]; }
    bool untouched_around() { return all.front() == 7.0F && all.back() == 7.0F; }
};

TEST(Kernels, MaxIsTheLargestElementOnEveryIsa) {
    for (const Isa isa : available())
        for (const Index n : sizes)
            for (const Index where : {Index{0}, n / 2, n - 1}) {
                Buffer x(n, 1.0, 1);
                x.data()[where] = 50.0F;
                EXPECT_EQ(kernels(isa).max(x.data(), n), 50.0F) << isa_name(isa) << " n " << n;
                for (Index i = 0; i < n; ++i) x.data()[i] -= 100.0F;
                EXPECT_EQ(kernels(isa).max(x.data(), n), -50.0F) << isa_name(isa) << " n " << n;
            }
}

// exp is good to 2 ulp; the argument x - shift is rounded once, which exp turns into a relative
// error of |x - shift| eps; a sum of n positive terms adds at most n eps.
TEST(Kernels, ExpSumsMatchDoubleOnEveryIsa) {
    for (const Isa isa : available())
        for (const Index n : sizes) {
            Buffer x(n, 6.0, 2);
            const float shift = kernels(isa).max(x.data(), n);
            double want = 0;
            for (Index i = 0; i < n; ++i) want += std::exp(x.at(i) - static_cast<double>(shift));
            const double bound = want * eps * (static_cast<double>(n) + 60);
            EXPECT_NEAR(kernels(isa).exp_sum(x.data(), n, shift), want, bound) << isa_name(isa);

            Buffer y = x;
            EXPECT_NEAR(kernels(isa).exp_in_place(y.data(), n, shift), want, bound);
            for (Index i = 0; i < n; ++i) {
                const double e = std::exp(x.at(i) - static_cast<double>(shift));
                EXPECT_NEAR(y.at(i), e,
                            e * eps * (4 + std::abs(x.at(i) - static_cast<double>(shift))));
            }
            EXPECT_TRUE(y.untouched_around());
        }
}

TEST(Kernels, ExpOfVeryNegativeIsNearZeroAndNeverNegative) {
    for (const Isa isa : available()) {
        float x[20];
        for (float& v : x) v = -1e30F;
        EXPECT_LE(kernels(isa).exp_in_place(x, 20, 0.0F), 1e-36F) << isa_name(isa);
        for (const float v : x) {
            EXPECT_GE(v, 0.0F);
            EXPECT_LE(v, 1.3e-38F);
        }
    }
}

TEST(Kernels, NanIsNotHidden) {
    for (const Isa isa : available())
        for (const Index n : {Index{5}, Index{16}, Index{40}}) {
            Buffer x(n, 1.0, 3);
            x.data()[n - 1] = std::numeric_limits<float>::quiet_NaN();
            EXPECT_TRUE(std::isnan(kernels(isa).exp_sum(x.data(), n, 0.0F))) << isa_name(isa);
        }
}

TEST(Kernels, KlSumsMatchDoubleOnEveryIsa) {
    for (const Isa isa : available())
        for (const Index n : sizes) {
            Buffer r(n, 4.0, 4);
            Buffer x(n, 4.0, 5);
            const float top_r = kernels(isa).max(r.data(), n);
            const float top_x = kernels(isa).max(x.data(), n);
            double sum_r = 0;
            double sum_x = 0;
            double cross = 0;
            double magnitude = 0;
            for (Index i = 0; i < n; ++i) {
                const double e = std::exp(r.at(i) - static_cast<double>(top_r));
                sum_r += e;
                sum_x += std::exp(x.at(i) - static_cast<double>(top_x));
                cross += e * (r.at(i) - x.at(i));
                magnitude += e * std::abs(r.at(i) - x.at(i));
            }
            const KlSums got = kernels(isa).kl_sums(r.data(), x.data(), n, top_r, top_x);
            const double slack = eps * (static_cast<double>(n) + 60);
            EXPECT_NEAR(got.ref, sum_r, sum_r * slack) << isa_name(isa) << " n " << n;
            EXPECT_NEAR(got.x, sum_x, sum_x * slack);
            EXPECT_NEAR(got.cross, cross, magnitude * slack);
        }
}

TEST(Kernels, SiluMulMatchesDoubleOnEveryIsa) {
    for (const Isa isa : available())
        for (const Index n : sizes) {
            Buffer gate(n, 20.0, 6);
            Buffer up(n, 1.0, 7);
            Buffer out(n, 0.0, 8);
            kernels(isa).activate[0](gate.data(), up.data(), n, out.data());
            for (Index i = 0; i < n; ++i) {
                const double want = gate.at(i) / (1 + std::exp(-gate.at(i))) * up.at(i);
                EXPECT_NEAR(out.at(i), want,
                            std::abs(want) * eps * (12 + std::abs(gate.at(i))) + 1e-36);
            }
            EXPECT_TRUE(out.untouched_around());
        }
}

double exact_activation(Activation how, double x) {
    switch (how) {
        case Activation::silu: return x / (1 + std::exp(-x));
        case Activation::gelu: return x * std::erfc(-x / std::numbers::sqrt2) / 2;
        case Activation::gelu_tanh: {
            const double u = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
            return x / (1 + std::exp(-2 * u));
        }
        case Activation::relu_squared: return x > 0 ? x * x : 0;
        case Activation::clamped_swiglu:
            x = std::min(x, 7.0);
            return x / (1 + std::exp(-1.702 * x));
    }
    return 0;
}

// exp(-y) turns the rounding of y into a relative error of |y| eps, and y is of the size of x^3 for
// gelu_tanh; erf is good to 1.5e-7 of x.
TEST(Kernels, ActivationsMatchDoubleOnEveryIsaWithAndWithoutUp) {
    for (const Isa isa : available())
        for (const auto how : {Activation::silu, Activation::gelu, Activation::gelu_tanh,
                               Activation::relu_squared, Activation::clamped_swiglu})
            for (const Index n : sizes) {
                const auto kernel = activation_kernel(kernels(isa), how);
                Buffer gate(n, 4.0, 17);
                Buffer up(n, 6.0, 18);
                Buffer out(n, 0.0, 19);
                const bool swiglu = how == Activation::clamped_swiglu;
                const auto near = [&](Index i, double factor) {
                    const double x = gate.at(i);
                    const double want = exact_activation(how, x) * factor;
                    const double relative = eps * (20 + 2 * std::abs(x) + 0.3 * std::pow(x, 4));
                    const double erf = how == Activation::gelu ? 2e-7 * std::abs(x * factor) : 0;
                    EXPECT_NEAR(out.at(i), want, std::abs(want) * relative + erf + 1e-36)
                        << isa_name(isa) << " " << static_cast<int>(how) << " at " << x;
                };
                kernel(gate.data(), up.data(), n, out.data());
                for (Index i = 0; i < n; ++i)
                    near(i, swiglu ? std::clamp(up.at(i), -7.0, 7.0) + 1 : up.at(i));
                kernel(gate.data(), nullptr, n, out.data());
                for (Index i = 0; i < n; ++i) near(i, swiglu ? 2 : 1);
                EXPECT_TRUE(out.untouched_around());
            }
}

TEST(Kernels, SoftcapAndSigmoidMatchDoubleOnEveryIsa) {
    for (const Isa isa : available())
        for (const Index n : sizes) {
            const Buffer before(n, 40.0, 20);
            Buffer x = before;
            kernels(isa).softcap(x.data(), n, 30.0F);
            Buffer y(n, 3.0, 21);
            Buffer out(n, 0.0, 22);
            kernels(isa).sigmoid_mul(y.data(), x.data(), n, out.data());
            for (Index i = 0; i < n; ++i) {
                const double v = before.all[static_cast<std::size_t>(i) + 1];
                EXPECT_NEAR(x.at(i), 30 * std::tanh(v / 30), 30 * 8 * eps);
                const double want = x.at(i) / (1 + std::exp(-y.at(i)));
                EXPECT_NEAR(out.at(i), want,
                            std::abs(want) * eps * (12 + std::abs(y.at(i))) + 1e-36);
            }
            EXPECT_TRUE(x.untouched_around() && out.untouched_around());
        }
}

TEST(Kernels, LayerNormMatchesDoubleOnEveryIsaAndInPlace) {
    for (const Isa isa : available())
        for (const Index n : sizes)
            for (const bool biased : {false, true}) {
                Buffer x(n, 3.0, 23);
                for (Index i = 0; i < n; ++i) x.data()[i] += 5.0F;
                Buffer w(n, 1.0, 24);
                Buffer b(n, 1.0, 25);
                Buffer out(n, 0.0, 26);
                const float* const bias = biased ? b.data() : nullptr;
                kernels(isa).layer_norm(x.data(), w.data(), bias, n, 1e-5F, out.data());
                double mean = 0;
                double squares = 0;
                const auto count = static_cast<double>(n);
                for (Index i = 0; i < n; ++i) mean += x.at(i) / count;
                for (Index i = 0; i < n; ++i) squares += (x.at(i) - mean) * (x.at(i) - mean);
                const double scale = 1 / std::sqrt(squares / count + 1e-5);
                for (Index i = 0; i < n; ++i) {
                    const double want = (x.at(i) - mean) * scale * w.at(i);
                    // The mean's rounding errs by some eps of the largest value, times the scale.
                    const double slack = std::abs(want) * eps * (count + 8) +
                                         20 * eps * (count + 8) * scale * std::abs(w.at(i));
                    EXPECT_NEAR(out.at(i), want + (biased ? b.at(i) : 0), slack + 4 * eps);
                }
                EXPECT_TRUE(out.untouched_around());
                kernels(isa).layer_norm(x.data(), w.data(), bias, n, 1e-5F, x.data());
                EXPECT_EQ(x.all, out.all) << isa_name(isa) << " n " << n;
            }
}

TEST(Kernels, RmsNormMatchesDoubleOnEveryIsaAndInPlace) {
    for (const Isa isa : available())
        for (const Index n : sizes) {
            Buffer x(n, 3.0, 9);
            Buffer w(n, 1.0, 10);
            Buffer out(n, 0.0, 11);
            kernels(isa).rms_norm(x.data(), w.data(), n, 1e-5F, out.data());
            double squares = 0;
            for (Index i = 0; i < n; ++i) squares += x.at(i) * x.at(i);
            const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
            for (Index i = 0; i < n; ++i) {
                const double want = x.at(i) * scale * w.at(i);
                EXPECT_NEAR(out.at(i), want, std::abs(want) * eps * (static_cast<double>(n) + 8));
            }
            EXPECT_TRUE(out.untouched_around());
            kernels(isa).rms_norm(x.data(), w.data(), n, 1e-5F, x.data());
            EXPECT_EQ(x.all, out.all) << isa_name(isa) << " n " << n;
        }
}

TEST(Kernels, RotateTurnsPairsOnEveryIsa) {
    for (const Isa isa : available())
        for (const Index half : sizes) {
            Buffer x(2 * half, 1.0, 12);
            Buffer before = x;
            Buffer angle(half, 3.0, 13);
            Buffer c(half, 0.0, 14);
            Buffer s(half, 0.0, 15);
            for (Index i = 0; i < half; ++i) {
                c.data()[i] = static_cast<float>(std::cos(angle.at(i)));
                s.data()[i] = static_cast<float>(std::sin(angle.at(i)));
            }
            kernels(isa).rotate(x.data(), c.data(), s.data(), half);
            for (Index i = 0; i < half; ++i) {
                const double a = before.at(i);
                const double b = before.at(i + half);
                const double slack = 4 * eps * (std::abs(a) + std::abs(b));
                EXPECT_NEAR(x.at(i), a * c.at(i) - b * s.at(i), slack);
                EXPECT_NEAR(x.at(i + half), b * c.at(i) + a * s.at(i), slack);
            }
            EXPECT_TRUE(x.untouched_around());
        }
}

TEST(Kernels, ToBf16EqualsTheScalarConversionBitForBit) {
    for (const Isa isa : available())
        for (const Index n : sizes) {
            Buffer x(n, 100.0, 16);
            const float special[] = {1.00390625F,
                                     1.01171875F,
                                     -0.0F,
                                     3.4e38F,
                                     std::numeric_limits<float>::infinity(),
                                     -std::numeric_limits<float>::quiet_NaN(),
                                     1e-40F};
            for (Index i = 0; i < n && i < 7; ++i) x.data()[n - 1 - i] = special[i];
            std::vector<BFloat16> out(static_cast<std::size_t>(n) + 2, 0x1234);
            kernels(isa).to_bf16(x.data(), n, out.data() + 1);
            for (Index i = 0; i < n; ++i)
                EXPECT_EQ(out[static_cast<std::size_t>(i) + 1], bf16_from_float(x.data()[i]))
                    << isa_name(isa) << " " << x.data()[i];
            EXPECT_EQ(out.front(), 0x1234);
            EXPECT_EQ(out.back(), 0x1234);
        }
}

// Sums of `keys` products and one more rounding a step; |key| and |query| are 1.
TEST(Kernels, DeltaStepMatchesDoubleOnEveryIsa) {
    for (const Isa isa : available())
        for (const Index keys : {Index{1}, Index{3}, Index{4}, Index{17}, Index{128}})
            for (const Index columns : {Index{1}, Index{7}, Index{16}, Index{32}, Index{33}}) {
                Buffer state(keys * columns, 1.0, 1);
                Buffer key(keys, 1.0 / std::sqrt(static_cast<double>(keys)), 2);
                Buffer query(keys, 1.0 / std::sqrt(static_cast<double>(keys)), 3);
                Buffer value(columns, 1.0, 4);
                Buffer out(columns, 1.0, 5);
                const Buffer before = state;
                constexpr double decay = 0.75;
                constexpr double write = 0.625;
                kernels(isa).delta_step(state.data(), keys, columns, key.data(), query.data(),
                                        value.data(), static_cast<float>(decay),
                                        static_cast<float>(write), out.data());
                const double bound = 8 * eps * (static_cast<double>(keys) + 4);
                for (Index c = 0; c < columns; ++c) {
                    Buffer old = before;
                    double held = 0;
                    for (Index i = 0; i < keys; ++i)
                        held += decay * old.at(i * columns + c) * key.at(i);
                    double want = 0;
                    for (Index i = 0; i < keys; ++i) {
                        const double s = decay * old.at(i * columns + c) +
                                         write * key.at(i) * (value.at(c) - held);
                        EXPECT_NEAR(state.at(i * columns + c), s, bound);
                        want += s * query.at(i);
                    }
                    EXPECT_NEAR(out.at(c), want, bound) << isa_name(isa) << " keys " << keys;
                }
                EXPECT_TRUE(state.untouched_around() && out.untouched_around());
            }
}

}  // namespace
}  // namespace vq
