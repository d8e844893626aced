# SPDX-License-Identifier: Apache-2.0
# Readers and writers of model files.
vqkit_test(formats_test
  SOURCES mapped_file_test.cpp safetensors_test.cpp ggml_dequant_test.cpp gguf_test.cpp
          model_config_test.cpp gguf_tokenizer_test.cpp checkpoint_test.cpp
  DEPS vqkit_formats)
