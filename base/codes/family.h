// SPDX-License-Identifier: Apache-2.0
// CodeFamily: what the compress side asks of a kind of code. One constant a family, in the folder
// that holds everything else about it; vq/tensor/code_families.cpp is the one list of them all.
// Nobody else asks what kind a code is: who needs to know more than this says adds a member.
//
// A family either has rates (rates().any(): columns differ in bits, and each rate is a code of its
// own) or one code for all columns, sized by bits of its stages.
#pragma once

#include <string>
#include <vector>

#include "base/codes/code.h"
#include "base/codes/code_settings.h"
#include "base/codes/code_spec.h"
#include "base/codes/coded_view.h"
#include "base/codes/rates.h"
#include "base/progress.h"

namespace vq {

/// A code that several tensors share, by its name in a store: "model", "layer.3",
/// "universal.gauss_d8_9_9".
struct SharedCode {
    std::string name;
    CodePtr code;
};
using SharedCodes = std::vector<SharedCode>;

/// What a codebook is trained on.
struct TrainingVectors {
    const Matrix& x;                 ///< vectors, size (n, d), n >= 1, scaled to variance 1
    const float* weights = nullptr;  ///< size (n), or null: all 1
};

/// What a code is made for beside its settings.
struct CodePlace {
    Index rows = 1;  ///< of the tensor, unpadded
    HalfBits rate;   ///< of the columns, where the family has rates
};

/// What a family does unless it says otherwise.
namespace family_default {
void check(const CodeSettings& settings);                                       // anything goes
RateRange rates(const CodeSettings& settings);                                  // none
std::vector<std::vector<int>> stages(const CodeSettings& settings, int bits);   // none
int vector_bits(const CodeSettings& settings, const std::vector<int>& stages);  // their sum
Index row_unit(const CodeSettings& settings, Index rows);  // whole vectors, outliers' too
SharedCodes universal(const CodeSettings& settings);       // none
double codebook_bits(const CodeSettings& settings);        // 0
std::vector<double> distortions(const CodeSettings& settings, const SharedCodes& shared);  // none
}  // namespace family_default

struct CodeFamily {
    /// The word for code.kind, and "code" of stored tensors (see parse).
    const char* name;
    /// For the help of code.kind, a few words.
    const char* summary;
    /// Has codebooks that a store holds: one a tensor, layer or model, or fixed ones.
    bool has_codebooks = false;
    /// A vector's code holds its scale: the tensor's is 1, and none is fitted or searched.
    bool own_scales = false;

    /// Throws Error where settings of the code do not go with the family.
    void (*check)(const CodeSettings& settings) = family_default::check;
    /// The rates that columns may have.
    RateRange (*rates)(const CodeSettings& settings) = family_default::rates;
    /// Without rates: the ways in which a vector's code of `bits` bits (its rate times d, so that
    /// rates between whole and half bits are there too) may be cut into stages, best first; none:
    /// there is no code of so many bits. Throws Error where there is none of any number.
    std::vector<std::vector<int>> (*stages)(const CodeSettings& settings,
                                            int bits) = family_default::stages;
    /// Without rates: bits of one vector's code with these stages.
    int (*vector_bits)(const CodeSettings& settings,
                       const std::vector<int>& stages) = family_default::vector_bits;
    /// Rows that a code spans in a tensor of `rows` rows: what they are padded to.
    Index (*row_unit)(const CodeSettings& settings, Index rows) = family_default::row_unit;
    /// The code that `settings` ask for; one with codebooks still has to be trained.
    CodePtr (*make)(const CodeSettings& settings, const CodePlace& place);
    /// Codebooks trained for `settings`; null: nothing to train. Throws Cancelled when asked to stop.
    CodePtr (*train)(const TrainingVectors& vectors, const CodeSettings& settings,
                     std::uint64_t seed, const Progress& progress) = nullptr;
    /// With codebooks: those that ship with the library and serve every model, with rates one a
    /// rate, ascending. Throws Error when there is none.
    SharedCodes (*universal)(const CodeSettings& settings) = family_default::universal;
    /// Bits of the codebooks that `settings` ask for, once.
    double (*codebook_bits)(const CodeSettings& settings) = family_default::codebook_bits;
    /// With rates: mean squared error of each of them on a Gaussian of variance 1, ascending.
    /// `shared`: what universal() gave, or empty.
    std::vector<double> (*distortions)(const CodeSettings& settings,
                                       const SharedCodes& shared) = family_default::distortions;
    /// A code from its description in a store (Code::describe() with this name as "code"); any fault
    /// ends in fail(what), or in an exception of the JSON library. Null: stored under another name.
    CodePtr (*parse)(const Json& entry, const Parameters& parameters,
                     const SpecFault& fail) = nullptr;
    /// Codes as kernels read them. Families are asked in the order of their list, until one has a
    /// layout for all segments of a tensor. Null: none.
    PackFunction pack = nullptr;
};

/// The settings of the code for outlier columns: other vectors, one stage, the same training.
CodeSettings outlier_settings(const CodeSettings& settings);

/// For check(): refuses a code of its own for outlier columns; `who`: "E8P".
void refuse_outliers(const CodeSettings& settings, const std::string& who);
/// For check(): refuses a fixed grid.
void refuse_grid(const CodeSettings& settings);

}  // namespace vq
