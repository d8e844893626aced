// SPDX-License-Identifier: Apache-2.0
#include "base/packed/packed_codebooks.h"

#include "base/error.h"

namespace vq::decode {

void fail_damaged(const std::string& what, const std::string& where) {
    throw Error(what, where, "the file is damaged; export it again");
}

void PackedCodebooks::add(std::uint32_t entries, std::uint32_t dim, const Half* words) {
    books_.push_back({entries, dim, words, {}});
}

const float* PackedCodebooks::values(std::uint32_t id, std::uint32_t bits, std::uint32_t dim,
                                     const std::string& where) {
    if (id >= books_.size()) fail_damaged("no such codebook", where);
    Book& book = books_[id];
    if (bits < 1 || bits > 16 || book.entries != 1u << bits || book.dim != dim)
        fail_damaged("a codebook does not suit its code", where);
    // Widened when a tensor first asks: a file may hold codebooks that kernels read in another
    // form.
    if (book.values.empty()) {
        book.values.resize(std::size_t{book.entries} * book.dim);
        float_from_half(book.words, static_cast<Index>(book.values.size()), book.values.data());
    }
    return book.values.data();
}

}  // namespace vq::decode
