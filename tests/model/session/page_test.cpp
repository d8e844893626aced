// SPDX-License-Identifier: Apache-2.0
#include "model/session/pages/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vq {
namespace {

using testing::HasSubstr;
using testing::Not;

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++n;
    return n;
}

TEST(Page, HoldsItsDataWhateverStandsInIt) {
    const Json results = {
        {"points", {{{"error", "</script><script>alert(1)</script> @@style@@"}}}}};
    for (const std::string& page : {sweep_page(results), inspect_page(results)}) {
        const std::string begin = "<script type=\"application/json\" id=\"data\">";
        const std::size_t from = page.find(begin) + begin.size();
        const std::string data = page.substr(from, page.find("</script>", from) - from);
        EXPECT_EQ(Json::parse(data), results);
        EXPECT_EQ(count(page, "</script>"), 4U);
        EXPECT_EQ(count(page, "@@"), 2U);  // those of the data
    }
}

TEST(Page, LoadsNothingFromAnywhere) {
    for (const std::string& page : {sweep_page(Json::object()), inspect_page(Json::object())}) {
        EXPECT_THAT(page, HasSubstr("default-src 'none'"));
        for (const char* loads : {" src=", "<link", "@import", "url(", "fetch(", "XMLHttpRequest"})
            EXPECT_THAT(page, Not(HasSubstr(loads))) << loads;
        EXPECT_THAT(page, HasSubstr("Chart.js v"));
    }
}

}  // namespace
}  // namespace vq
