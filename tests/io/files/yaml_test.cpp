// SPDX-License-Identifier: Apache-2.0
#include "io/files/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace vq {
namespace {

using testing::HasSubstr;

std::string message(const std::string& text) {
    try {
        parse_yaml(text, "a.yaml");
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

TEST(Yaml, ScalarsAreWhatTheyLookLike) {
    const Json json = parse_yaml(
        "a: 3\nb: -2.5\nc: 1e3\nd: true\ne: null\nf:\ng: none\nh: \"3\"\ni: 1.2.3\nj: nan\n"
        "k: models/tiny\nl: +4\nm: 'true'\nn: yes\no: 99999999999999999999\n",
        "a.yaml");
    EXPECT_EQ(json["a"], 3);
    EXPECT_TRUE(json["a"].is_number_integer());
    EXPECT_EQ(json["b"], -2.5);
    EXPECT_EQ(json["c"], 1000.0);
    EXPECT_EQ(json["d"], true);
    EXPECT_TRUE(json["e"].is_null());
    EXPECT_TRUE(json["f"].is_null());
    EXPECT_EQ(json["g"], "none");
    EXPECT_EQ(json["h"], "3");
    EXPECT_EQ(json["i"], "1.2.3");
    EXPECT_EQ(json["j"], "nan");
    EXPECT_EQ(json["k"], "models/tiny");
    EXPECT_EQ(json["l"], 4);
    EXPECT_EQ(json["m"], "true");
    EXPECT_EQ(json["n"], "yes");
    EXPECT_EQ(json["o"], 1e20);
}

TEST(Yaml, ListsAndMapsKeepTheirOrder) {
    const Json json = parse_yaml("z: [1, two, {x: 3}]\na:\n  - 5\n  - k: v\n# words\n", "a.yaml");
    EXPECT_EQ(json.dump(), R"({"z":[1,"two",{"x":3}],"a":[5,{"k":"v"}]})");
    EXPECT_TRUE(parse_yaml("", "a.yaml").is_null());
}

TEST(Yaml, FaultsNameTheirLine) {
    EXPECT_THAT(message("a: 1\nb: [1, 2\n"), HasSubstr("a.yaml: line"));
    EXPECT_THAT(message("a: 1\nb: 2\na: 3\n"), HasSubstr("stands twice: a.yaml: line 3"));
    EXPECT_THAT(message("a: 1\n[1, 2]: 3\n"), HasSubstr("a.yaml"));
    EXPECT_THAT(message("a: 1\n---\nb: 2\n"), HasSubstr("more than one document"));
    EXPECT_THAT(message("a: *nobody\n"), HasSubstr("a.yaml: line 1"));
}

TEST(Yaml, HostileFilesAreRefused) {
    std::string bomb = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 12; ++i) {
        const std::string below = "*l" + std::to_string(i - 1);
        bomb += "l" + std::to_string(i) + ": &l" + std::to_string(i) + " [" + below;
        for (int j = 0; j < 9; ++j) bomb += ", " + below;
        bomb += "]\n";
    }
    EXPECT_THAT(message(bomb), HasSubstr("too many values"));
    EXPECT_THAT(message(std::string(200, '[') + std::string(200, ']')), HasSubstr("too deep"));
    EXPECT_NE(message("&a [*a]\n"), "no error");
    EXPECT_NE(message(std::string(100'000, '[')), "no error");
    EXPECT_NE(message(std::string("a: \x01\xff\n")), "");
}

}  // namespace
}  // namespace vq
