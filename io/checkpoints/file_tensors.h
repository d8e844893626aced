// SPDX-License-Identifier: Apache-2.0
// How a family's own safetensors files hold the tensors of a model: experts in one tensor of three
// dimensions, convolutions with a dimension of 1. For those who read such files and who write them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/checkpoints/weight_source.h"

namespace vq {

/// A matrix of the model as a part of a tensor of the file.
struct FilePart {
    std::string name;  ///< of the matrix, or of a bias
    ExpertLayout layout = ExpertLayout::single;
};

struct FileTensor {
    std::string name;
    std::vector<std::int64_t> dims;
    /// One behind the other in the file; a single one, as it is, unless experts are stacked.
    std::vector<FilePart> parts;
};

/// Every tensor of `source` as its family's files have it, those that are none of the model's own
/// behind the others.
std::vector<FileTensor> file_tensors(const WeightSource& source);

/// The tensor of the file that a stacked expert's matrix (or bias) is part of.
std::string stack_name(const ModelTensor& tensor, bool bias);

/// Where output i of `rows` stands in a file: where rows of gate and up take turns, else at i.
Index output_in_file(ExpertLayout layout, Index i, Index rows);

/// A part as it stands in the file, from the matrix of the model, and back. A bias has one row.
Matrix to_file_layout(const Matrix& values, ExpertLayout layout, bool bias);
Matrix from_file_layout(const Matrix& stored, ExpertLayout layout, bool bias);

}  // namespace vq
