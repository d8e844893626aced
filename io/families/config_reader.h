// SPDX-License-Identifier: Apache-2.0
// Reads config.json by the keys of a family's row, and refuses what the row does not know.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "io/families/family.h"

namespace vq {

/// A JSON value as it stands in the file, cut so that it cannot flood a message.
std::string shown(const Json& value);

/// The value of a key; nullptr when it is absent or null, which config.json uses alike.
const Json* find_value(const Json& object, const char* key);

/// A finite number above 0. Throws Error that names `key` and the value; `where` names the file.
double positive_number(const Json& value, const std::string& key, const std::string& where);

/// Text, "" for null pointers. Throws Error that names `key` and the value.
std::string text_of(const Json* value, const std::string& key, const std::string& where);

/// Throws Error when a wrapper's configuration says what is not known, or that the checkpoint is
/// quantized. Its text_config is a family's, and not looked at.
void check_wrapper_keys(const Json& json, const std::string& where);

class ConfigReader {
public:
    /// All three must outlive the reader; `where` names the file in errors. Throws Error when a
    /// key is neither in the row nor harmless, with its name and value.
    ConfigReader(const Json& json, const std::string& where, const Family& family);

    const std::string& where() const { return where_; }
    const Family& family() const { return family_; }
    [[noreturn]] void fail(const std::string& what) const;
    /// "X is VALUE, only Y is supported", `todo` by default "use a model whose X is Y".
    [[noreturn]] void fail_unsupported(const std::string& key, const Json& value,
                                       const std::string& supported) const;

    /// The name of a setting in this family; "" when the family has none.
    std::string name(Setting setting) const;
    /// The file has a key that says it.
    bool says(Setting setting) const { return key_in_file(setting) != nullptr; }
    /// The value in the file, else what stands for an absent key, else nullptr.
    const Json* find(Setting setting) const;

    /// Throws Error when there is no value, or it is no integer from `least` to `most`.
    std::int64_t integer(Setting setting, std::int64_t least, std::int64_t most) const;
    /// `fallback` where there is no value.
    std::int64_t integer_or(Setting setting, std::int64_t fallback, std::int64_t least,
                            std::int64_t most) const;
    /// The same, or a list of such integers that are all equal.
    std::int64_t common_integer(Setting setting, std::int64_t least, std::int64_t most) const;
    double positive(Setting setting) const;
    double positive_or(Setting setting, double fallback) const;
    /// The file has the key, and says null: not what an absent key stands for.
    bool says_null(Setting setting) const;
    /// Null where there is no value. Throws Error when it is no list of `size` entries.
    const Json* list(Setting setting, std::int64_t size) const;
    /// False where the family has no such key.
    bool flag(Setting setting) const;
    /// An id below `vocab_size`, a list of them, or none. A null in the file means none, whatever
    /// an absent key stands for. Ids that the vocabulary does not have are left out, with a note.
    std::vector<std::int64_t> ids(Setting setting, std::int64_t vocab_size,
                                  std::vector<std::string>& notes) const;

private:
    void check_keys() const;
    /// Of the keys that say a setting, the one that the file has; null: none.
    const ConfigKey* key_in_file(Setting setting) const;

    const Json& json_;
    const std::string& where_;
    const Family& family_;
    std::map<Setting, Json> fallbacks_;
};

}  // namespace vq
