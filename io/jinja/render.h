// SPDX-License-Identifier: Apache-2.0
// Renders Jinja templates as transformers does (its sandbox, trim_blocks, lstrip_blocks, break and
// continue, tojson, raise_exception, strftime_now).
#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "io/jinja/syntax.h"

namespace vq::jinja {

class Template {
public:
    /// Throws Error where the template is not well formed, or uses what is not known here.
    explicit Template(std::string_view source) : body_(parse(source)) {}
    /// `variables`: a dict. `now`: what strftime_now shows, in local time. Throws Error where the
    /// template calls raise_exception (with its text), where it uses a filter, test or method that
    /// is not known here, and where Python would raise.
    std::string render(const Dict& variables, std::time_t now = std::time(nullptr)) const;

private:
    Body body_;
};

}  // namespace vq::jinja
