// SPDX-License-Identifier: Apache-2.0
#include "vq/run/file_size.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "base/error.h"
#include "vq/layer/planned_tensor.h"
#include "vq/run/budget.h"
#include "vq/run/presets.h"
#include "vq/run/share_rates.h"
#include "vq/tensor/code_families.h"

namespace vq {

namespace {

// Bits a weight between which a linear layer may be, whatever the method.
constexpr double least_bits = 0.25;
constexpr double most_bits = 16;

/// What the tables' errors cost beside those of all linear layers with as many bits a weight:
/// SmolLM2's at 4 bits a KL of .0173 and .045 (docs/decisions.md).
constexpr double table_share = 0.385;
/// A lead that no measurement stands for is not followed further than that.
constexpr double least_lead = -1.5;
constexpr double most_lead = 3;
/// A table is never coarser than that: rows are looked up one by one, and nothing makes good for
/// their errors.
constexpr double least_embedding_bits = 2;
/// Above that int8 is as good and faster.
constexpr double most_embedding_bits = 7.5;

/// HDF5 allocates what is small in blocks of 2,048 bytes, and their order depends on the runs.
constexpr std::int64_t small_blocks = 2 * 2048;

/// Bits that the tables have more than the linear layers. Divergences add up, each falls fourfold
/// with a bit, and the least sum for all bits together is where a bit of either takes as much away
/// for what it weighs: at a distance that depends on how many weights there are of both, and not on
/// the size.
double table_lead(const std::vector<TensorPlan>& tensors) {
    double linear = 0;
    double table = 0;
    for (const TensorPlan& t : tensors)
        (t.role == PlanRole::linear ? linear : table) +=
            static_cast<double>(t.shape.rows) * static_cast<double>(t.shape.cols);
    if (linear == 0 || table == 0) return 0;
    return std::clamp(0.5 * std::log2(table_share * linear / table), least_lead, most_lead);
}

class Fit {
public:
    Fit(const std::vector<TensorPlan>& tensors, Settings settings, const Recipe& recipe,
        bool with_tables, std::int64_t target, const FileBytes& file_bytes)
        : tensors_(tensors),
          settings_(std::move(settings)),
          recipe_(recipe),
          matches_(match_recipe(recipe, tensors)),
          with_tables_(with_tables),
          target_(target),
          file_bytes_(file_bytes) {
        for (const TensorPlan& t : tensors_)
            if (t.role == PlanRole::linear) {
                const auto layer = static_cast<std::size_t>(t.layer);
                if (shapes_.size() <= layer) shapes_.resize(layer + 1);
                shapes_[layer].push_back(t.shape);
            }
        range_ = family_of(settings_.code).rates(settings_.code);
        lead_ = table_lead(tensors);
    }

    FileSizePlan operator()() {
        const double bits = linear_bits();
        FileSizePlan out;
        out.embedding_bits = with_tables_ ? table_bits(bits) : 0;
        out.plan = *plan(bits, out.embedding_bits);
        const bool full = range_.any() && bits > range_.most.bits() - 1e-6;
        if (range_.any() && !full) spend(out.plan);
        if (with_tables_ && (full || !range_.any())) fill_tables(out, bits);
        out.plan.file_bytes = target_;
        out.bytes = file_bytes_(out.plan);
        VQ_ASSERT(out.bytes <= target_);
        return out;
    }

private:
    /// All linear layers alike: codes of so many bits a weight where there are rates, else at most
    /// so many bits in all. Throws Error where that is too few.
    ModelPlan plan_or_throw(double bits, double table_bits) const {
        Settings sized = settings_;
        sized.embedding_bits = table_bits > 0 ? table_bits : settings_.embedding_bits;
        if (range_.any())
            sized.code.rate = bits;
        else
            fit_budget(sized, shapes_, bits);
        check_settings(sized);
        return apply_recipe(recipe_, matches_, tensors_, uniform_plan(tensors_, sized));
    }
    std::optional<ModelPlan> plan(double bits, double table_bits) const {
        try {
            return plan_or_throw(bits, table_bits);
        } catch (const Error&) {
            return std::nullopt;
        }
    }

    /// Of tables beside linear layers of so many bits; 0: int8.
    double table_bits(double bits) const {
        const double wanted = std::max(least_embedding_bits, bits + lead_);
        return wanted <= most_embedding_bits ? wanted : 0;
    }

    std::int64_t reserve(const ModelPlan& p) const {
        // What the last linear layer, the tables and whatever a recipe names take too much, nothing
        // makes good for.
        std::int64_t bytes = runs_reserve(settings_);
        for (const TensorPlan& t : p.tensors)
            if (!is_free(t)) bytes += runs_reserve(t.settings);
        return bytes > 0 || range_.any() ? bytes + small_blocks : 0;
    }

    /// Bytes that are left when all linear layers have so many bits; nothing: no such plan.
    std::optional<std::int64_t> left(double bits) {
        const auto p = plan(bits, with_tables_ ? table_bits(bits) : 0);
        if (!p) return std::nullopt;
        const PlanSize size = plan_size(*p);
        const double arrays = (size.linear_bits + size.embedding_bits) / 8;
        // What is not an array hardly depends on the plan: measured anew where it decides.
        if (!overhead_) overhead_ = static_cast<double>(file_bytes_(*p)) - arrays;
        return target_ - reserve(*p) - std::llround(arrays + *overhead_);
    }

    /// The most bits a weight, as plan() takes them, that the file has room for.
    double linear_bits() {
        const double most = range_.any() ? range_.most.bits() : most_bits;
        double low = least_bits;
        double high = most;
        plan_or_throw(most, with_tables_ ? table_bits(most) : 0);
        // The least that the method can do.
        for (int i = 0; i < 24 && !range_.any(); ++i) {
            const double middle = 0.5 * (low + high);
            (plan(middle, with_tables_ ? table_bits(middle) : 0) ? high : low) = middle;
        }
        const double least = range_.any() ? range_.least.bits() : high;
        if (const std::int64_t room = *left(least); room < 0)
            throw Error(
                "the file cannot be so small", fmt::format("--target-size {}", target_),
                fmt::format("the least it can have with this method is {} bytes", target_ - room));
        overhead_.reset();
        if (const auto room = left(most); room && *room >= 0) return most;
        // The tables' code changes with their bits, and with it what is not an array.
        for (int round = 0; round < 3; ++round) {
            low = least;
            high = most;
            for (int i = 0; i < 24; ++i) {
                const double middle = 0.5 * (low + high);
                const auto room = left(middle);
                (room && *room >= 0 ? low : high) = middle;
            }
            overhead_.reset();
            if (*left(low) >= 0) break;
        }
        return low;
    }

    /// Gives what is left to the linear layers, tensor by tensor: each takes the columns that fit
    /// and hands on the rest. Another run of columns costs something too, so that it takes a few
    /// rounds; the fullest file that is not too large is kept.
    void spend(ModelPlan& p) const {
        const std::int64_t most = target_ - reserve(p);
        std::optional<ModelPlan> best;
        std::int64_t best_bytes = 0;
        double bits = free_bits(p);
        for (int round = 0; round < 12; ++round) {
            const std::int64_t bytes = file_bytes_(p);
            if (bytes <= most && bytes > best_bytes) {
                best = p;
                best_bytes = bytes;
            }
            if (bytes <= most && most - bytes < target_ / 10000) break;
            // Half of the way after a few rounds, so that steps do not go round in a circle.
            bits += 8.0 * static_cast<double>(most - bytes) / (round < 3 ? 1 : 2);
            share_rates(bits, p);
        }
        if (best)
            p = std::move(*best);
        else
            share_rates(0, p);  // the least of all, which was found to fit
    }

    /// A method of whole bits leaves more than a table's next step, as does one that has the most
    /// bits that its code knows: the tables take it.
    void fill_tables(FileSizePlan& out, double bits) const {
        double low = out.embedding_bits;
        if (low == 0) return;  // int8 already
        for (double high = most_embedding_bits; high - low > 1.0 / 64;) {
            const double middle = 0.5 * (low + high);
            const auto p = plan(bits, middle);
            const bool fits = p && file_bytes_(*p) + reserve(*p) <= target_;
            (fits ? low : high) = middle;
        }
        out.embedding_bits = low;
        out.plan = *plan(bits, low);
        if (low + 1.0 / 32 < most_embedding_bits) return;
        if (const auto bytes = plan(bits, 0); bytes && file_bytes_(*bytes) <= target_) {
            out.plan = *bytes;
            out.embedding_bits = 0;
        }
    }

    const std::vector<TensorPlan>& tensors_;
    Settings settings_;
    const Recipe& recipe_;
    RecipeMatches matches_;
    bool with_tables_;
    std::int64_t target_;
    const FileBytes& file_bytes_;
    LayerShapes shapes_;
    RateRange range_;
    double lead_ = 0;
    std::optional<double> overhead_;
};

}  // namespace

FileSizePlan plan_file_size(const std::vector<TensorPlan>& tensors, const std::string& method,
                            const std::vector<std::string>& assignments, const Recipe& recipe,
                            std::int64_t target, const FileBytes& file_bytes) {
    Settings settings = preset_settings(method);
    bool with_tables = true;
    for (const std::string& assignment : assignments) {
        set_setting(settings, assignment);
        if (assignment.starts_with("embedding.")) with_tables = false;
    }
    if (!settings.code.stage_bits.empty() || settings.code.rate > 0)
        throw Error("the size is given twice", "--target-size and --set code.rate or stage_bits",
                    "give only one");
    const bool tables = std::any_of(tensors.begin(), tensors.end(), [](const TensorPlan& t) {
        return t.role == PlanRole::embedding;
    });
    return Fit(tensors, settings, recipe, with_tables && tables, target, file_bytes)();
}

std::int64_t parse_bytes(const std::string& text) {
    const auto fail = [&]() -> std::int64_t {
        throw Error("not a number of bytes", text, "use for example 48MB, 45.8MiB or 48000000");
    };
    double number = 0;
    const char* end = text.data() + text.size();
    const auto [stop, status] = std::from_chars(text.data(), end, number);
    std::string unit(stop, end);
    unit.erase(0, unit.find_first_not_of(' ') == std::string::npos ? unit.size()
                                                                   : unit.find_first_not_of(' '));
    constexpr std::pair<const char*, double> units[] = {
        {"", 1},     {"B", 1},        {"kB", 1e3},     {"KB", 1e3},    {"MB", 1e6},
        {"GB", 1e9}, {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}};
    if (status != std::errc() || !(number > 0) || !(number < 1e15)) return fail();
    for (const auto& [name, bytes] : units)
        if (unit == name) return static_cast<std::int64_t>(std::floor(number * bytes));
    return fail();
}

}  // namespace vq
