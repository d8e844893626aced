// The inner loops of decoding, one table an instruction set, picked when a file is opened. The
// scalar table is the reference: all others give the same bits, except the dot products of floats,
// whose sums run over 32 or 64 lanes.
#pragma once

#include "base/packed/activation.h"
#include "base/packed/panel.h"
#include "base/packed/segment.h"

namespace vq::decode {

struct LutTables;

struct Kernels {
    const char* name;
    /// hadamard_block() of base/hadamard.h, which it equals bit for bit.
    void (*hadamard)(float* x, Index n, bool transpose, float* scratch);
    /// out[i] = x[i], or -x[i] where bit i of `signs` is set; size (n). `out` may be `x`.
    void (*flip_signs)(const std::uint64_t* signs, const float* x, Index n, float* out);
    /// quantize_activations() (base/packed/activation.h).
    void (*quantize)(const float* x, Index n, const ByteBuffers& out);
    /// Tables of block `block` of a lut segment; x: the segment's activations, size (cols).
    void (*lut_tables)(const Segment& s, const float* x, Index block, const LutTables& tables);
    /// y[r] += sum of the tables at the codes, for `count` tiles from `tile` on; y: size (64
    /// count).
    void (*lut_rows)(const Segment& s, Index padded_rows, const LutTables& tables, Index tile,
                     Index count, float* y);
    /// y[r] += sum_j (four bytes of state (r, j) - 510) x_j for the rows of one tile; y: size (T).
    void (*trellis_rows)(const Segment& s, const ByteActivations& x, Index tile, float* y);
    /// y[r] += sum_j w_rj x_j for the 64 rows of tile `tile` of an e8p segment; y: size (64).
    void (*e8p_rows)(const Segment& s, const ByteActivations& x, Index tile, float* y);
    /// The same for a grid segment, over the groups [begin, end) of activations.
    void (*grid_rows)(const Segment& s, const ByteActivations& x, Index tile, Index begin,
                      Index end, float* y);
    /// The same for the tile of a bytes segment; block_sums: of the q_j of each byte_block columns.
    void (*byte_rows)(const Segment& s, const ByteActivations& x, const std::int32_t* block_sums,
                      Index tile, float* y);
    /// The same for rows [row, row + count) of a table segment with vectors (codebooks/residual/table.h); where
    /// these lie along outputs, bands of `dim` rows. x: along inputs [vector][8], padded to whole
    /// blocks of table_block vectors, which share a scale.
    void (*table_rows)(const Segment& s, const ByteActivations& x, Index row, Index count,
                       float* y);
    /// A panel of 64 rows of weights times `tokens` vectors, over up to 128 columns (4 a quad):
    ///     y[token * stride + r] += row_scales[r] x_scales[token] sum_j (w_rj - 128) x_j.
    /// weights: [quad][64 rows][4]; x: [token][32 quads] of int8; sums: of each token's x_j.
    void (*panel)(const PanelWeights& w, const PanelInputs& x, Index quads, Index tokens, float* y,
                  Index stride);
    /// The bytes of such a panel for a code with whole_steps() (decode/panel_codes.h): tile `tile`,
    /// columns [activation_group * group, ... + 4 quads).
    void (*code_panel)(const Segment& s, Index tile, Index group, Index quads, std::uint8_t* bytes);
    /// Rows [row, row + rows) of a trellis segment, `count` columns of a group, decoded and rounded
    /// as round_weights() does: bytes of a panel and scales of its rows. Null: there is no such.
    void (*trellis_panel)(const Segment& s, Index row, Index rows, Index group, Index count,
                          std::uint8_t* bytes, float* row_scales);
    /// activation_group weights of a row to bytes, round(v / scale) + 128, scale = max |v| / 127,
    /// which is returned.
    float (*round_weights)(const float* v, std::uint8_t* bytes);
    /// Sum of a[i] b[i].
    float (*dot)(const float* a, const float* b, Index n);
    float (*dot_half)(const Half* a, const float* b, Index n);
    float (*dot_bf16)(const BFloat16* a, const float* b, Index n);
};

extern const Kernels kernels_scalar;
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512vnni;
/// kernels_avx512vnni with panels multiplied on tiles.
const Kernels& kernels_amx();

/// The best table of the processor, or the one that VQ_ISA asks for (avx512 means VBMI and VNNI
/// here; a processor without them gets avx2). Throws Error as active_isa().
const Kernels& active_kernels();

}  // namespace vq::decode
