// SPDX-License-Identifier: Apache-2.0
#include "base/cpu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "base/error.h"

namespace vq {
namespace {

/// Sets VQ_ISA for one test and puts back what was there.
class CpuOverride : public testing::Test {
protected:
    void SetUp() override {
        if (const char* value = std::getenv("VQ_ISA")) before_ = value;
        unsetenv("VQ_ISA");
    }
    void TearDown() override {
        if (before_.empty())
            unsetenv("VQ_ISA");
        else
            setenv("VQ_ISA", before_.c_str(), 1);
    }

private:
    std::string before_;
};

TEST_F(CpuOverride, BestIsaIsUsedByDefault) {
    EXPECT_EQ(active_isa(), detect_isa());
    setenv("VQ_ISA", "", 1);
    EXPECT_EQ(active_isa(), detect_isa());
}

TEST_F(CpuOverride, EveryIsaUpToTheBestCanBeAskedFor) {
    for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512, Isa::amx}) {
        setenv("VQ_ISA", isa_name(isa), 1);
        if (isa <= detect_isa())
            EXPECT_EQ(active_isa(), isa);
        else
            EXPECT_THROW(active_isa(), Error);
    }
}

TEST_F(CpuOverride, UnknownIsaIsRefusedByName) {
    setenv("VQ_ISA", "sse9", 1);
    try {
        active_isa();
        FAIL() << "an unknown instruction set was taken";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("VQ_ISA=sse9"));
        EXPECT_THAT(error.what(), testing::HasSubstr("scalar, avx2, avx512 or amx"));
    }
}

TEST_F(CpuOverride, OverrideIsReadAtEveryCall) {
    setenv("VQ_ISA", "scalar", 1);
    EXPECT_EQ(active_isa(), Isa::scalar);
    unsetenv("VQ_ISA");
    EXPECT_EQ(active_isa(), detect_isa());
}

}  // namespace
}  // namespace vq
