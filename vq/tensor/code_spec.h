// Code specs: the one place that knows every code family by name: which of them a run's settings
// ask for, what one code of it costs, and how a stored description becomes a code again.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/codes/code.h"
#include "base/json.h"
#include "vq/layer/column_rates.h"
#include "vq/run/settings.h"

namespace vq {

/// Whether the family has codebooks that are trained, and therefore stored and refitted.
bool has_codebooks(const CodeSettings& code);

/// The rates that columns may have, where they have rates of their own (trellis, grid); else most
/// is 0.
RateRange rates_of(const CodeSettings& code);

/// The code that `settings` ask for, for all columns or ([1]) outlier columns; one with codebooks
/// still has to be trained. Not for codes with rates, of which there is one a rate.
CodePtr untrained_code(const Settings& settings, bool outliers);

/// Bits of one vector's code with these stages; BitMoD: of one group's, with so many bits a weight.
int vector_bits(const CodeSettings& code, const std::vector<int>& stages);

/// The ways in which b bits may be cut into stages, best first; none: the family has no code of so
/// many bits a vector.
std::vector<std::vector<int>> stages_of(const Settings& settings, int bits);

/// The universal codebook (or fixed grid) that `settings` ask for, and its name in a store; with
/// rates, the grid of each of them, ascending. Throws Error when there is none.
std::vector<std::pair<std::string, CodePtr>> universal_choices(const Settings& settings);

/// Bits of the codebooks that `settings` ask for, once.
double codebook_bits(const Settings& settings);

/// Rebuilds a code from its description: `family` is what describe() calls "code", `entry` holds
/// the rest, parameters(count) gives that many finite parameters. fail(what) throws; any fault in
/// the description ends there (or in an exception of the JSON library).
using SpecFault = std::function<void(const std::string& what)>;

/// The key stage_bits of a segment: 1 to 16 bits a stage, at most 64 together.
std::vector<int> parse_stage_bits(const Json& entry, const SpecFault& fail);
CodePtr parse_code(const std::string& family, const Json& entry,
                   const std::function<std::vector<float>(Index count)>& parameters,
                   const SpecFault& fail);
bool known_family(const std::string& family);

}  // namespace vq
