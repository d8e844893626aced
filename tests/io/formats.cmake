# SPDX-License-Identifier: Apache-2.0
# Readers and writers of model files.
vqkit_test(formats_test
  SOURCES mapped_file_test.cpp safetensors_test.cpp ggml_dequant_test.cpp gguf_test.cpp
          gguf_tokenizer_test.cpp checkpoint_test.cpp
  DEPS vqkit_formats)
vqkit_test(families_test
  SOURCES families/config_keys_test.cpp families/family_rows_test.cpp
          families/gguf_config_test.cpp families/model_config_test.cpp
  DEPS vqkit_formats)
