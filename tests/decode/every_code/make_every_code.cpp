// SPDX-License-Identifier: Apache-2.0
// Makes every_code.vqp, for tests of the decode library where nothing else of vqkit is built: small
// tensors of every code, each followed by the weights that it stands for, which come from the
// definitions and not from the library, as "NAME/weights" in fp32.
//     make_every_code OUT.vqp
#include <cstdio>
#include <cstring>

#include "tests/codebooks/bytes/byte_case.h"
#include "tests/codebooks/iq4nl/iq4nl_case.h"
#include "tests/codebooks/residual/staged_case.h"
#include "tests/codebooks/scalar/grid_case.h"
#include "tests/lattice/e8p/e8p_case.h"
#include "tests/lattice/trellis/trellis_case.h"

using namespace vq;
using namespace vq::test;

namespace {

std::vector<PackedCase> small_cases() {
    std::vector<PackedCase> out;
    std::uint64_t seed = 1;
    const auto table = [&](const Shape& shape, int dim, int bits, bool along_outputs = false) {
        out.push_back(table_case(shape, dim, {bits}, along_outputs, seed += 50));
    };
    out.push_back(lut_case({33, 136, Rotation::both}, 8, {8, 8}, seed += 50));
    out.push_back(lut_case({17, 50}, 4, {9}, seed += 50));
    out.push_back(table_case({30, 136, Rotation::in, true, true}, 8, {6, 6}, false, seed += 50));
    table({35, 40, Rotation::none, false}, 6, 7, true);
    table({9, 70, Rotation::none, true, false, 48}, 1, 5);
    for (int bits = 1; bits <= 4; ++bits) {
        out.push_back(trellis_case({31, 66, Rotation::both}, byte_sum_code(bits, 32), seed += 50));
        out.push_back(grid_case({33, 131, Rotation::none, true, true}, bits, seed += 50));
    }
    out.push_back(grid_case({20, 300, Rotation::none, true, false, 128}, 3, seed += 50));
    for (const std::vector<int>& bits : E8pCode::stage_choices())
        out.push_back(e8p_case({35, 70, Rotation::both}, bits, seed += 50));
    out.push_back(byte_case({37, 100}, seed += 50));
    out.push_back(iq4nl_case({37, 100}, seed += 50));
    return out;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    PackedBuffer file;
    PackedWriter writer(file.sink());
    writer.add_blob("config.json", "{\"model_type\": \"none\"}");
    for (PackedCase& c : small_cases()) {
        PackedTensor& t = c.tensor;
        t.name = c.name;
        for (std::size_t m = 0; m < c.codebooks.size(); ++m) {
            const auto dim = static_cast<Index>(t.segments[0].record.dim);
            t.segments[0].record.codebook[m] = writer.add_codebook(
                c.codebooks[m].data(), static_cast<Index>(c.codebooks[m].size()) / dim, dim);
        }
        writer.add_tensor(t);
        const Matrix weights = c.weights.cast<float>();
        PackedTensor dense;
        dense.name = c.name + "/weights";
        dense.rows = t.rows;
        dense.cols = t.cols;
        dense.kind = decode::TensorKind::dense_f32;
        dense.dense.resize(static_cast<std::size_t>(weights.size()) * sizeof(float));
        std::memcpy(dense.dense.data(), weights.data(), dense.dense.size());
        writer.add_tensor(dense);
    }
    writer.finish();
    std::FILE* out = std::fopen(argv[1], "wb");
    if (out == nullptr) return 1;
    const bool written = std::fwrite(file.data(), 1, file.size(), out) == file.size();
    return std::fclose(out) == 0 && written ? 0 : 1;
}
