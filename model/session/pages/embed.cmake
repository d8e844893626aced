# SPDX-License-Identifier: Apache-2.0
# Writes ${output}, a C++ file that carries ${files} (names and paths by turns, separated by |) by the assembler's .incbin.
string(REPLACE "|" ";" files "${files}")
set(text "#include \"model/session/pages/page_parts.h\"\n\n")
set(table "")
set(i 0)
while(files)
  list(POP_FRONT files name file)
  string(APPEND text "asm(\".section .rodata\\nvq_page_${i}:\\n.incbin \\\"${file}\\\"\\n\"\n"
                     "    \"vq_page_${i}_end:\\n.byte 0\\n.previous\\n\");\n"
                     "extern \"C\" {\n"
                     "__attribute__((visibility(\"hidden\"))) extern const char vq_page_${i}[];\n"
                     "__attribute__((visibility(\"hidden\"))) extern const char vq_page_${i}_end[];\n}\n")
  string(APPEND table "    if (name == \"${name}\")\n        return {vq_page_${i}, static_cast<std::size_t>(vq_page_${i}_end - vq_page_${i})};\n")
  math(EXPR i "${i} + 1")
endwhile()
string(APPEND text "\nnamespace vq {\n\nstd::string_view page_part(std::string_view name) {\n${table}    return {};\n}\n\n}  // namespace vq\n")
file(WRITE "${output}" "${text}")
