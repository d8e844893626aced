# SPDX-License-Identifier: Apache-2.0
# The tokenizers: unit tests and golden ids, which always run, and a comparison with the Python
# packages on a megabyte of text, which is skipped where pip cannot get them.
vqkit_test(unicode_test SOURCES tokenizers/unicode_test.cpp DEPS vqkit_tokenizer)
vqkit_test(tokenizer_regex_test SOURCES tokenizers/tokenizer_regex_test.cpp DEPS vqkit_tokenizer)
vqkit_test(added_tokens_test SOURCES tokenizers/added_tokens_test.cpp DEPS vqkit_tokenizer)
vqkit_test(tokenizer_test SOURCES tokenizers/folder_tokens_test.cpp tokenizers/tokenizer_test.cpp
           DEPS vqkit_tokenizer)

vqkit_test(jinja_test SOURCES jinja/jinja_test.cpp DEPS vqkit_tokenizer vqkit_formats)

add_executable(tokenize_tool tokenizers/tokenize_tool.cpp)
target_link_libraries(tokenize_tool PRIVATE vqkit_tokenizer)
add_test(NAME io/CompareTokenizersWithPython
  COMMAND bash -c "python=$(\"$1\"/python_env.sh) || { status=$?; echo \"SKIPPED: no Python packages\"; exit $status; }; exec \"$python\" \"$1\"/compare_tokenizers.py --tool \"$2\""
          bash ${PROJECT_SOURCE_DIR}/scripts $<TARGET_FILE:tokenize_tool>)
set_tests_properties(io/CompareTokenizersWithPython PROPERTIES
  SKIP_RETURN_CODE 77 TIMEOUT 600 LABELS io)
