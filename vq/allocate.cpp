#include "vq/allocate.h"

#include <algorithm>
#include <array>

namespace vq {

double role_offset(Role role) {
    // From the mean relative errors of SmolLM2's 30 layers at 2.06 bits: q .0074, k .0054, v .0348,
    // o .0499, gate .0187, up .0340, down .0491.
    constexpr std::array<double, roles> offsets = {-0.45, 0.1, 1.45, 0.9, -0.5, -0.05, 0.2};
    return offsets[static_cast<std::size_t>(role)];
}

Settings tensor_settings(const Settings& settings, Role role) {
    Settings out = settings;
    if (settings.code.kind == CodeKind::trellis && settings.code.waterfill && settings.spread > 0)
        out.code.rate =
            std::clamp(settings.code.rate + settings.spread * role_offset(role), 1.0, 4.0);
    return out;
}

}  // namespace vq
