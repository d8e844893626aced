// SPDX-License-Identifier: Apache-2.0
// Stored tensors in tests: no shared codebooks, and damage that must be told by name.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "vq/tensor/stored_tensor.h"

namespace vq::test {

inline const SharedArrays no_shared;

/// `read` must take `good`, and throw an Error that names the tensor once `damage` is done to it.
template <class Damage, class Read>
void expect_named_error(const StoredTensor& good, const Damage& damage, const Read& read) {
    StoredTensor bad = good;
    damage(bad);
    try {
        read(bad);
        ADD_FAILURE() << bad.spec.dump();
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find(good.name), std::string::npos) << e.what();
    }
}

/// The same of decode_stored(). Returns what is called with each damage.
inline auto damage_check(const StoredTensor& good) {
    EXPECT_NO_THROW(decode_stored(good, no_shared));
    return [&good](const auto& damage) {
        expect_named_error(good, damage,
                           [](const StoredTensor& t) { decode_stored(t, no_shared); });
    };
}

/// Half of an array's elements are gone.
inline auto halved(const std::string& name) {
    return [name](StoredTensor& t) {
        Array& a = t.arrays[name];
        a.shape = {a.count() / 2};
        a.bytes.resize(static_cast<std::size_t>(a.shape[0] * element_bytes(a.type)));
    };
}

}  // namespace vq::test
