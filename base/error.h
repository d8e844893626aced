// SPDX-License-Identifier: Apache-2.0
// Error: the one exception of vqkit for faults of the user or of the user's files.
// VQ_ASSERT: for faults of ours. Neither prints; apps/ turns an Error into one line.
#pragma once

#include <stdexcept>
#include <string>

namespace vq {

/// "WHAT: WHERE: WHAT TO DO", for example
/// Error("tensor reaches past the end of the file", "model.safetensors: lm_head.weight",
///       "download the file again").
class Error : public std::runtime_error {
public:
    Error(const std::string& what, const std::string& where, const std::string& todo)
        : std::runtime_error(what + ": " + where + ": " + todo) {}
};

/// A broken promise inside vqkit. Never the user's fault.
class InternalError : public std::logic_error {
public:
    using std::logic_error::logic_error;
};

}  // namespace vq

#define VQ_STRINGIZE_(x) #x
#define VQ_STRINGIZE(x) VQ_STRINGIZE_(x)
#define VQ_ASSERT(condition)                                                                      \
    do {                                                                                          \
        if (!(condition))                                                                         \
            throw ::vq::InternalError("internal error: " #condition " does not hold at " __FILE__ \
                                      ":" VQ_STRINGIZE(__LINE__));                                \
    } while (false)
