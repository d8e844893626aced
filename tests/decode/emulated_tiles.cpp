// SPDX-License-Identifier: Apache-2.0
#include "tests/decode/emulated_tiles.h"

#include <sys/ucontext.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace vq::test {

namespace {

struct Tile {
    int rows = 0;
    int row_bytes = 0;
    std::array<std::uint8_t, 16 * 64> bytes = {};

    std::uint8_t* row(int r) { return bytes.data() + std::ptrdiff_t{64} * r; }
    const std::uint8_t* row(int r) const { return bytes.data() + std::ptrdiff_t{64} * r; }
};

/// Tiles of palette 1, and what has been carried out.
struct Unit {
    bool configured = false;
    std::array<Tile, 8> tiles;
    long instructions = 0;

    /// What is no valid use raises #UD or #GP on a processor; here it ends the test.
    static void require(bool valid) {
        if (!valid) std::abort();
    }
    Tile& tile(int i) {
        require(configured && i < 8 && tiles[static_cast<std::size_t>(i)].rows > 0);
        return tiles[static_cast<std::size_t>(i)];
    }
    void configure(const std::uint8_t* from) {
        require(from[0] == 1 && from[1] == 0);
        for (int i = 2; i < 16; ++i) require(from[i] == 0);
        for (std::size_t i = 0; i < 16; ++i) {
            std::uint16_t row_bytes = 0;
            std::memcpy(&row_bytes, from + 16 + 2 * i, 2);
            const int rows = from[48 + i];
            require(i < 8 ? rows <= 16 && row_bytes <= 64 && (rows == 0) == (row_bytes == 0)
                          : rows == 0 && row_bytes == 0);
            if (i < 8) tiles[i] = {rows, row_bytes, {}};
        }
        configured = true;
    }
    void load(int i, const std::uint8_t* from, std::int64_t stride) {
        Tile& t = tile(i);
        t.bytes.fill(0);
        for (int r = 0; r < t.rows; ++r)
            std::memcpy(t.row(r), from + r * stride, static_cast<std::size_t>(t.row_bytes));
    }
    void store(int i, std::uint8_t* to, std::int64_t stride) {
        Tile& t = tile(i);
        for (int r = 0; r < t.rows; ++r)
            std::memcpy(to + r * stride, t.row(r), static_cast<std::size_t>(t.row_bytes));
    }
    /// Of signed bytes of `a` and unsigned ones of `b`.
    void dot_products(int sums, int a, int b) {
        Tile& c = tile(sums);
        const Tile& x = tile(a);
        const Tile& w = tile(b);
        require(sums != a && sums != b && a != b && x.rows == c.rows &&
                w.row_bytes == c.row_bytes && x.row_bytes == 4 * w.rows);
        for (int m = 0; m < c.rows; ++m)
            for (int n = 0; n < c.row_bytes / 4; ++n) {
                std::int32_t sum = 0;
                std::memcpy(&sum, c.row(m) + std::ptrdiff_t{4} * n, 4);
                for (int k = 0; k < x.row_bytes; ++k)
                    sum += static_cast<std::int8_t>(x.row(m)[k]) * w.row(k / 4)[4 * n + k % 4];
                std::memcpy(c.row(m) + std::ptrdiff_t{4} * n, &sum, 4);
            }
    }
};

Unit unit;

/// An instruction with a VEX prefix of three bytes, which all on tiles have.
struct Instruction {
    int prefix = 0;  ///< 0 none, 1 is 66, 2 is F3, 3 is F2
    int opcode = 0;
    int reg = 0;
    int rm = 0;
    int third = 0;  ///< the register in VEX.vvvv
    bool memory = false;
    std::uint64_t address = 0;  ///< base and displacement
    std::int64_t index = 0;     ///< scaled
    std::int64_t length = 0;
};

std::int64_t general_register(const mcontext_t& m, int i) {
    constexpr std::array<int, 16> order = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                           REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                           REG_R12, REG_R13, REG_R14, REG_R15};
    return m.gregs[order[static_cast<std::size_t>(i)]];
}

/// False: not one of them.
bool decode(const mcontext_t& m, Instruction& in) {
    const auto rip = static_cast<std::uint64_t>(m.gregs[REG_RIP]);
    const auto* at = std::bit_cast<const std::uint8_t*>(rip);
    if (at[0] != 0xC4 || (at[1] & 0x1F) != 2) return false;  // map 0F38
    const int high_index = (~at[1] & 0x40) >> 3;
    const int high_base = (~at[1] & 0x20) >> 2;
    in.third = ~at[2] >> 3 & 15;
    in.prefix = at[2] & 3;
    in.opcode = at[3];
    if (in.opcode != 0x49 && in.opcode != 0x4B && in.opcode != 0x5E) return false;
    const int mod = at[4] >> 6;
    in.reg = at[4] >> 3 & 7;
    in.rm = at[4] & 7;
    in.length = 5;
    in.memory = mod != 3;
    if (!in.memory) return true;
    int base = in.rm;
    if (in.rm == 4) {
        const std::uint8_t sib = at[5];
        base = sib & 7;
        const int index = (sib >> 3 & 7) + high_index;
        if (index != 4) in.index = general_register(m, index) << (sib >> 6);
        ++in.length;
    }
    std::int64_t displacement = 0;
    const bool no_base = base == 5 && mod == 0;
    if (mod == 1) {
        displacement = (at[in.length] ^ 128) - 128;  // sign-extended
        ++in.length;
    } else if (mod == 2 || no_base) {
        std::int32_t d = 0;
        std::memcpy(&d, at + in.length, 4);
        displacement = d;
        in.length += 4;
    }
    const std::uint64_t origin =
        !no_base     ? static_cast<std::uint64_t>(general_register(m, base + high_base))
        : in.rm == 5 ? rip + static_cast<std::uint64_t>(in.length)
                     : 0;
    in.address = origin + static_cast<std::uint64_t>(displacement);
    return true;
}

/// False: not an instruction that kernels use.
bool carry_out(const Instruction& in) {
    auto* memory = std::bit_cast<std::uint8_t*>(in.address);
    constexpr int none = 0, f3 = 2, f2 = 3;
    if (in.opcode == 0x49 && in.prefix == none && in.memory && in.reg == 0)
        unit.configure(memory + in.index);
    else if (in.opcode == 0x49 && in.prefix == none && !in.memory && in.reg == 0 && in.rm == 0)
        unit.configured = false;  // tilerelease
    else if (in.opcode == 0x49 && in.prefix == f2 && !in.memory)
        unit.tile(in.reg).bytes.fill(0);
    else if (in.opcode == 0x4B && in.prefix == f2 && in.memory && in.rm == 4)
        unit.load(in.reg, memory, in.index);
    else if (in.opcode == 0x4B && in.prefix == f3 && in.memory && in.rm == 4)
        unit.store(in.reg, memory, in.index);
    else if (in.opcode == 0x5E && in.prefix == f3 && !in.memory)
        unit.dot_products(in.reg, in.rm, in.third);
    else
        return false;
    ++unit.instructions;
    return true;
}

void on_illegal_instruction(int /*signal*/, siginfo_t* /*info*/, void* context) {
    mcontext_t& m = static_cast<ucontext_t*>(context)->uc_mcontext;
    Instruction in;
    if (!decode(m, in) || !carry_out(in)) std::abort();
    m.gregs[REG_RIP] += in.length;
}

}  // namespace

EmulatedTiles::EmulatedTiles() {
    struct sigaction action = {};
    action.sa_sigaction = on_illegal_instruction;
    action.sa_flags = SA_SIGINFO;
    if (sigaction(SIGILL, &action, &before_) != 0) std::abort();
}

EmulatedTiles::~EmulatedTiles() {
    sigaction(SIGILL, &before_, nullptr);
}

long EmulatedTiles::instructions() {
    return unit.instructions;
}

}  // namespace vq::test
