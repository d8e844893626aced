// SPDX-License-Identifier: Apache-2.0
#include "io/files/file_kind.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"

namespace vq {
namespace {

using namespace std::string_view_literals;

struct Signature {
    std::string_view start;
    FileKind kind;
};

constexpr const char* download_again = "get the file again, and see that the download is the file";
constexpr const char* unpack = "unpack it first";
constexpr const char* convert = "convert the model to safetensors or GGUF";
constexpr const char* old_ggml = "is a ggml model from before GGUF";
constexpr const char* utf16 = "is UTF-16 text";
constexpr const char* to_utf8 = "convert it to UTF-8: iconv -f UTF-16 -t UTF-8";

constexpr std::array signatures{
    Signature{"version https://git-lfs.github.com/spec/"sv,
              {"is a Git LFS pointer, not the file itself", "fetch the file: git lfs pull"}},
    Signature{"version https://hawser.github.com/spec/"sv,
              {"is a Git LFS pointer, not the file itself", "fetch the file: git lfs pull"}},
    Signature{"<!DOCTYPE"sv, {"is a web page", download_again, true}},
    Signature{"<!doctype"sv, {"is a web page", download_again, true}},
    Signature{"<html"sv, {"is a web page", download_again, true}},
    Signature{"<?xml"sv, {"is an XML document", download_again, true}},
    Signature{"PK\x03\x04"sv, {"is a ZIP archive, as PyTorch writes checkpoints", convert}},
    Signature{"\x80\x02"sv, {"is a Python pickle, as PyTorch wrote checkpoints", convert}},
    Signature{"\x80\x04"sv, {"is a Python pickle", convert}},
    Signature{"\x1F\x8B"sv, {"is compressed (gzip)", unpack}},
    Signature{"\x28\xB5\x2F\xFD"sv, {"is compressed (zstd)", unpack}},
    Signature{"BZh"sv, {"is compressed (bzip2)", unpack}},
    Signature{"\xFD"
              "7zXZ\0"sv,
              {"is compressed (xz)", unpack}},
    Signature{"7z\xBC\xAF\x27\x1C"sv, {"is a 7z archive", unpack}},
    Signature{"Rar!\x1A\x07"sv, {"is a RAR archive", unpack}},
    Signature{"lmgg"sv, {old_ggml, "convert the original checkpoint again"}},
    Signature{"fmgg"sv, {old_ggml, "convert the original checkpoint again"}},
    Signature{"tjgg"sv, {old_ggml, "convert the original checkpoint again"}},
    Signature{"\xFF\xFE"sv, {utf16, to_utf8, true}},
    Signature{"\xFE\xFF"sv, {utf16, to_utf8, true}},
};

constexpr FileKind hollow{"holds nothing but zeros at its start, as a download that was cut off",
                          "get the file again"};

}  // namespace

const FileKind* recognized_kind(ByteSpan bytes) {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    for (const Signature& signature : signatures)
        if (text.starts_with(signature.start)) return &signature.kind;
    const ByteSpan start = bytes.first(std::min<std::size_t>(bytes.size(), 4096));
    if (start.size() >= 64 && std::ranges::all_of(start, [](std::uint8_t b) { return b == 0; }))
        return &hollow;
    return nullptr;
}

void refuse_recognized_kind(ByteSpan bytes, const std::string& where) {
    if (const FileKind* kind = recognized_kind(bytes)) throw Error(kind->what, where, kind->todo);
}

}  // namespace vq
