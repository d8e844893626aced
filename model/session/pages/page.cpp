// SPDX-License-Identifier: Apache-2.0
#include "model/session/pages/page.h"

#include <map>
#include <string_view>

#include "base/error.h"
#include "model/session/pages/page_parts.h"

namespace vq {

namespace {

/// JSON that cannot end the element that it stands in, whatever texts it holds.
std::string inside_html(const Json& document) {
    const std::string text = document.dump(-1, ' ', false, Json::error_handler_t::replace);
    std::string safe;
    safe.reserve(text.size());
    for (const char c : text) {
        if (c == '<')
            safe += "\\u003c";
        else
            safe += c;
    }
    return safe;
}

/// The template with every @@NAME@@ replaced.
std::string filled(std::string_view page, const std::map<std::string, std::string_view>& parts) {
    constexpr std::string_view mark = "@@";
    std::string text;
    while (true) {
        const std::size_t begin = page.find(mark);
        if (begin == std::string_view::npos) break;
        const std::size_t end = page.find(mark, begin + mark.size());
        VQ_ASSERT(end != std::string_view::npos);
        text += page.substr(0, begin);
        text += parts.at(std::string(page.substr(begin + mark.size(), end - begin - mark.size())));
        page.remove_prefix(end + mark.size());
    }
    text += page;
    return text;
}

std::string page(const std::string& name, const Json& data) {
    const std::string json = inside_html(data);
    return filled(page_part(name + ".html"), {{"style", page_part("page.css")},
                                              {"chart", page_part("chart.js")},
                                              {"common", page_part("page.js")},
                                              {"script", page_part(name + ".js")},
                                              {"data", json}});
}

}  // namespace

std::string sweep_page(const Json& results) {
    return page("sweep", results);
}

std::string inspect_page(const Json& store) {
    return page("inspect", store);
}

}  // namespace vq
