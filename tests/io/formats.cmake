# SPDX-License-Identifier: Apache-2.0
# Readers and writers of model files.
vqkit_test(formats_test
  SOURCES files/file_kind_test.cpp files/mapped_file_test.cpp files/mxfp4_test.cpp
          files/safetensors_test.cpp files/text_input_test.cpp files/yaml_test.cpp gguf/ggml_dequant_test.cpp
          gguf/gguf_split_test.cpp gguf/gguf_test.cpp tokenizers/gguf_tokenizer_test.cpp
          checkpoints/checkpoint_test.cpp
  DEPS vqkit_formats)
vqkit_test(families_test
  SOURCES families/config_keys_test.cpp families/family_rows_test.cpp
          families/gguf_config_test.cpp families/head_sizes_test.cpp families/model_config_test.cpp
  DEPS vqkit_formats)
