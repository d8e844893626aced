#include "lattice/e8p/e8p.h"

#include "lattice/e8p/e8p_patterns.h"

namespace vq::decode {

namespace {

/// Where the nibble of dimension d begins.
std::size_t shift_of(std::size_t d) {
    return 8 * (d % 4) + 4 * (d / 4);
}

template <std::size_t N>
void spread(const std::uint32_t (&words)[N], std::uint8_t (&bytes)[4][N]) {
    for (std::size_t k = 0; k < N; ++k)
        for (std::size_t j = 0; j < 4; ++j)
            bytes[j][k] = static_cast<std::uint8_t>(words[k] >> (8 * j));
}

E8pTables make() {
    const E8pPatterns& integers = e8p_integers();
    E8pTables t{};
    for (std::size_t k = 0; k < 256; ++k) {
        for (std::size_t d = 0; d < 8; ++d) {
            t.patterns[k] |= static_cast<std::uint32_t>(integers.twice_abs[k][d] - 1) / 2
                             << shift_of(d);
            t.shorts[k] |= static_cast<std::uint32_t>(integers.twice_short[k][d] + 4)
                           << shift_of(d);
        }
        if (integers.odd[k]) t.patterns[k] ^= 4u << shift_of(7);
    }
    for (std::size_t k = 0; k < 128; ++k) {
        for (std::size_t d = 0; d < 7; ++d)
            t.signs[k] ^= static_cast<std::uint32_t>(k >> d & 1u) * 4u << shift_of(d);
        if (__builtin_popcountll(k) % 2 != 0) t.signs[k] ^= 4u << shift_of(7);
    }
    spread(t.patterns, t.pattern_bytes);
    spread(t.signs, t.sign_bytes);
    spread(t.shorts, t.short_bytes);
    for (int i = 0; i < 64; ++i) {
        const int size = 2 + 4 * (i & 3);
        const int point = ((i & 4) != 0 ? -size : size) + ((i & 8) != 0 ? -1 : 1);
        t.values[0][i] = static_cast<std::uint8_t>(point + e8p_offset);
        t.values[1][i] = static_cast<std::uint8_t>((i & 15) - 4 + e8p_offset);
    }
    return t;
}

}  // namespace

const E8pTables& e8p_tables() {
    static const E8pTables tables = make();
    return tables;
}

}  // namespace vq::decode
