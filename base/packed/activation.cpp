// SPDX-License-Identifier: Apache-2.0
#include "base/packed/activation.h"

#include <algorithm>
#include <cmath>

namespace vq::decode {

void quantize_activations(const float* x, Index n, const ByteBuffers& out) {
    std::fill(out.bytes + n, out.bytes + (n + byte_padding - 1) / byte_padding * byte_padding,
              std::int8_t{0});
    for (Index begin = 0, g = 0; begin < n; begin += activation_group, ++g) {
        const Index end = std::min(n, begin + activation_group);
        float most = 0;
        for (Index i = begin; i < end; ++i) most = std::max(most, std::fabs(x[i]));
        const float inverse = most > 0 ? 127.0F / most : 0;
        std::int32_t sum = 0;
        for (Index i = begin; i < end; i += 2) {
            const std::int32_t q0 = round_to_int(x[i] * inverse);
            const std::int32_t q1 = i + 1 < end ? round_to_int(x[i + 1] * inverse) : 0;
            sum += q0 + q1;
            out.pairs[i / 2] = (static_cast<std::uint32_t>(q0) & 0xFFu) * 0x0101u |
                               (static_cast<std::uint32_t>(q1) & 0xFFu) * 0x01010000u;
            out.bytes[i] = static_cast<std::int8_t>(q0);
            out.bytes[i + 1] = static_cast<std::int8_t>(q1);
        }
        out.scales[g] = most / 127.0F;
        out.sums[g] = sum;
    }
}

}  // namespace vq::decode
