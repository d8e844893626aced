# SPDX-License-Identifier: Apache-2.0
# Writes ${output}, a C++ file that carries every data/*.npy beside this file by the assembler's .incbin.
file(GLOB files "${folder}/*.npy")
list(SORT files)
set(text "#include \"codebooks/residual/universal_data.h\"\n\n")
set(table "")
set(i 0)
foreach(file IN LISTS files)
  get_filename_component(name "${file}" NAME_WE)
  string(APPEND text "asm(\".section .rodata\\n.balign 16\\nvq_universal_${i}:\\n.incbin \\\"${file}\\\"\\n\"\n"
                     "    \"vq_universal_${i}_end:\\n.byte 0\\n.previous\\n\");\n"
                     "extern \"C\" {\n"
                     "__attribute__((visibility(\"hidden\"))) extern const unsigned char vq_universal_${i}[];\n"
                     "__attribute__((visibility(\"hidden\"))) extern const unsigned char vq_universal_${i}_end[];\n}\n")
  string(APPEND table "        {\"${name}\", vq_universal_${i}, static_cast<std::size_t>(vq_universal_${i}_end - vq_universal_${i})},\n")
  math(EXPR i "${i} + 1")
endforeach()
string(APPEND text "\nnamespace vq {\n\nstd::span<const UniversalData> universal_data() {\n"
                   "    static const UniversalData all[] = {\n${table}        {nullptr, nullptr, 0}};\n"
                   "    return {all, ${i}};\n}\n\n}  // namespace vq\n")
file(WRITE "${output}" "${text}")
