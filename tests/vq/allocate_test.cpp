#include "vq/allocate.h"

#include <gtest/gtest.h>

#include "vq/presets.h"

namespace vq {
namespace {

const TensorShape shapes[roles] = {{576, 576},  {192, 576},  {192, 576}, {576, 576},
                                   {1536, 576}, {1536, 576}, {576, 1536}};

Settings spread_over(double rate, double spread) {
    Settings s = preset_settings("best");
    s.code.rate = rate;
    s.spread = spread;
    return s;
}

TEST(Allocate, OffsetsCostNothingOnAverage) {
    double bits = 0;
    double weights = 0;
    for (int r = 0; r < roles; ++r) {
        const auto n = static_cast<double>(shapes[r].rows * shapes[r].cols);
        bits += n * role_offset(static_cast<Role>(r));
        weights += n;
    }
    EXPECT_NEAR(bits / weights, 0, 0.05);
}

TEST(Allocate, RatesStayWithinWhatATrellisHas) {
    for (const double rate : {1.0, 2.0, 3.0, 4.0})
        for (int r = 0; r < roles; ++r) {
            const double own =
                tensor_settings(spread_over(rate, 2), static_cast<Role>(r)).code.rate;
            EXPECT_GE(own, 1);
            EXPECT_LE(own, 4);
        }
}

TEST(Allocate, NoSpreadAndOtherCodesKeepOneRate) {
    EXPECT_EQ(tensor_settings(spread_over(2, 0), Role::v).code.rate, 2);
    Settings whole = spread_over(2, 1);
    whole.code.waterfill = false;
    EXPECT_EQ(tensor_settings(whole, Role::v).code.rate, 2);
    EXPECT_GT(tensor_settings(spread_over(2, 1), Role::v).code.rate, 2);
}

TEST(Allocate, ABudgetIsMetWithAnySpread) {
    const LayerShapes model(30, {shapes, shapes + roles});
    double weights = 0;
    for (const TensorShape& t : shapes) weights += 30.0 * static_cast<double>(t.rows * t.cols);
    for (const double spread : {0.0, 0.5, 1.0})
        for (const double budget : {1.3, 2.06, 3.06, 3.9}) {
            Settings s = spread_over(0, spread);
            fit_budget(s, model, budget);
            const double bits = plan_scope(s, model).bits / weights;
            EXPECT_LE(bits, budget);
            EXPECT_GT(bits, budget - 0.03) << spread << " at " << budget;
        }
}

}  // namespace
}  // namespace vq
