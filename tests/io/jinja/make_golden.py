#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders templates with the Python package jinja2 (3.1), set up as transformers does it, and writes what came out:
    make_golden.py > data/golden.json
Each case: a template, its variables, the text or null where Python raises."""
import json
import sys

from jinja2 import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def raise_exception(message):
    raise TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


TALK = {
    "messages": [
        {"role": "system", "content": "  Be brief.\n"},
        {"role": "user", "content": "What's \"2 + 2\"?"},
        {"role": "assistant", "content": "Four, or 4.0 \u2014 as you like", "extra": None},
        {"role": "user", "content": [{"type": "text", "text": "Sure?"}, {"type": "image"}]},
    ],
    "bos_token": "<s>", "eos_token": "</s>", "tools": None, "documents": None, "add_generation_prompt": True,
}
TWO = dict(TALK, messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": " Hello \n"}])

CHATML = """{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nDefault.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + (message.content if message.content is string else message.content | tojson) + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
HEADERS = """{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start|>' + message['role'] + '<|end|>

' + message['content'] | trim + '<|eot|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>

' }}{% endif %}"""
TURNS = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<turn>model
'}}
{%- endif -%}
"""
THINK = """{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- set reasoning = '' %}
    {%- if '</think>' in content %}
        {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {{- loop.index ~ '/' ~ loop.length ~ ' ' ~ message.role ~ ': ' ~ content ~ ' (' ~ reasoning ~ ')' ~ ('!' if loop.index0 > ns.last_query_index) }}
    {{- '\\n' }}
{%- endfor %}"""
MACRO = """{% macro show(value, name='it', deep=false) %}
{{ name }}={% if value is mapping %}{% for k, v in value.items() %}{{ show(v, k, deep=true) }};{% endfor %}{% elif value is iterable and value is not string %}[{{ value | join(', ') }}]{% else %}{{ value }}{% endif %}
{%- endmacro -%}
{{ show({'a': 1, 'b': [1, 2.5, none, true, 'x'], 'c': {'d': 'e'}}) }} {{ show(3) }} {{ show([1, 'two', "it's"]) }}"""

BLANKS = [
    "a  {% if true %}\n  b\n  {% endif %}  c\n",
    "  {% if true %}x{% endif %}\n  y\n",
    "x\n  {%- if true -%}  \n y \n {%- endif -%}\n z",
    "a {#- note -#} b {# note #}\nc",
    "  {# note #}\n  d\n\n",
    "{{ 'a' }}\n{{ 'b' }}\n",
    "{{- ' a ' -}}  \n b",
    "  {%+ if true %}\n q\n{% endif +%}\n r",
    "\r\nx\r\n{% if 1 %}\r\ny{% endif %}\r\n",
    "{% raw %}{{ not }} {% this %}{% endraw %}!",
    "{%- raw -%}  {{ x }}  {%- endraw -%}  y",
    "{% for i in range(3) %}\n    {{ i }}\n{% endfor %}\nend",
    "{% for i in range(2) -%}\n    {{ i }}\n{%- endfor %}\nend",
    "text\n\t{% set x = 1 %}\n{{ x }}\n\n\n",
]
EXPRESSIONS = [
    "1 + 2 * 3 - 4 / 2", "7 // 2", "-7 // 2", "-7 % 3", "7 % -3", "2 ** 10", "2 ** -1", "7.5 // 2", "-7.5 % 2", "1 / 3",
    "1e20", "1.0", "1.5e-7", "100000 * 1.0", "10 ** 15 * 1.0", "10 ** 16 * 1.0", "0.1 + 0.2", "true + 1", "not 0", "- 3 | abs", "(1, 2)", "[1, 'a', none, true, 2.0]",
    "{'a': [1, {'b': 'c'}], 'it\\'s': \"q\"}", "'a' ~ 1 ~ none ~ true ~ 1.5", "'ab' * 3", "1 < 2 < 3", "1 < 3 < 2", "1 == 1.0 == true", "'a' < 'b'",
    "'b' in 'abc'", "'x' not in ['x']", "2 in {'a': 1}", "'a' in {'a': 1}", "1 in [1.0]", "undefined_thing", "undefined_thing is defined", "undefined_thing == none",
    "undefined_thing | default('d')", "'' | default('d')", "'' | default('d', true)", "none | d('x', boolean=true)", "'x' if false", "('x' if false else 'y') ~ 'z'",
    "messages[0].role", "messages[0]['role']", "messages[-1].content[0].text", "messages.0.role", "messages[9]", "messages[0].nothing", "messages[0].get('role')", "messages[0].get('x', 'y')",
    "messages[0].get('x')", "messages[1:3] | length", "messages[::-1][0].role", "'abcdef'[1:4]", "'abcdef'[::-1]", "'abcdef'[-2:]", "'abcdef'[:-2]", "'abcdef'[4:1:-1]", "'\u00e4\u00f6\u00fc'[1]", "'\u00e4\u00f6' | length",
    "[1,2,3][5:]", "[1,2,3][-9:2]", "[1,2,3,4][-1:0:-2]", "messages | map(attribute='role') | list", "messages | map(attribute='role') | join('/')", "messages | selectattr('role', 'equalto', 'user') | list | length",
    "messages | selectattr('extra', 'defined') | list | length", "messages | rejectattr('role', 'in', ['user', 'system']) | map(attribute='role') | list", "[1, 2, 3, 4] | select('even') | list", "[0, 1, '', 'a'] | select | list",
    "[3, 1, 2] | sort", "['b', 'A', 'c'] | sort", "[3, 1, 2] | sort(reverse=true)", "messages | sort(attribute='role') | map(attribute='role') | list", "{'b': 1, 'a': 2} | dictsort", "{'b': 1, 'a': 2} | items | list",
    "{'a': 1}.items() | list", "{'a': 1}.keys() | list", "{'a': 1, 'b': 2}.values() | list", "[1, 2] + [3]", "[1, 1, 2] | unique | list", "'abc' | reverse", "[1, 2] | reverse | list", "[1, 2] | first", "[1, 2] | last", "[] | first",
    "' x ' | trim", "'xxaxx' | trim('x')", "' x '.strip()", "'xxaxx'.strip('x')", "'abcab'.lstrip('ab')", "'abcab'.rstrip('ba')", "'a,b,c'.split(',')", "'a,b,c'.split(',', 1)", "' a  b '.split()", "'a b c'.rsplit(' ', 1)",
    "'aXbX'.replace('X', '')", "'aXbX' | replace('X', 'y')", "'aXbX'.replace('X', 'y', 1)", "'hello'.startswith('he')", "'hello'.endswith(('lo', 'x'))", "'hello'.find('l')", "'hello'.find('z')", "'Hello World'.title()", "'hello wORLD' | capitalize", "'abc' | upper", "'ABC'.lower()",
    "'12'.isdigit()", "'1a'.isdigit()", "'12' | int + 1", "'x' | int", "'x' | int(7)", "3.9 | int", "'2.5' | float", "3 | float", "2.567 | round(2)", "2.5 | round", "3.5 | round", "-3 | abs", "[1, 2, 3] | sum", "12 | string ~ 'x'",
    "messages[0] | tojson", "messages[2] | tojson", "messages[3] | tojson(indent=2)", "'\u00e4\"\\\\\\n\\t/' | tojson", "'\u00e4' | tojson(ensure_ascii=true)", "[1.0, 2.5e-9, true, none, 'x', [], {}] | tojson", "{} | tojson(indent=4)", "[[], {'a': []}] | tojson(indent=1)",
    "'a\\nb\\n\\nc' | indent(2)", "'a\\nb' | indent(2, true)", "'a\\nb' | indent", "3 is number", "'3' is number", "true is number", "3 is integer", "3.0 is float", "none is none", "'s' is string", "[] is iterable", "{} is mapping", "'x' is sequence", "3 is odd", "4 is divisibleby 2", "4 is divisibleby(3)", "true is true", "1 is true", "3 is eq 3", "3 is in [1, 3]", "3 is not in [1, 3]",
    "not 1 == 2", "not true and false", "true or false and false", "none or 'x'", "'' or [] or 'y'", "1 and 2", "range(3) | list", "range(1, 7, 2) | list", "range(3, 0, -1) | list", "dict(a=1, b='c')", "'x' 'y'", "\"dq 'sq'\"", "'it\\'s'", "'tab\\tnew\\nline'", "'\\u00e4'",
    "\"don't x_y-z (ab)\" | title", "'3.7' | int", "' 3 ' | int", "'1e3' | int", "'0x1f' | int", "' 2.5 ' | float", "'x' | float", "['a', 'A', 'b'] | unique | list", "{'B': 1, 'a': 2} | dictsort", "1 is sameas true", "true is sameas true", "none is sameas none",
    "('a', 'b')[0:1]", "(1, 2) + (3,)", "3 | round", "-9007199254740993 | abs", "(-1) ** 999", "3 ** 13", "7 ** 0", "0 ** 0", "'' * 5", "(1, 2) | list", "[[2, 'b'], [1, 'A']] | sort", "'abc' | first", "1e999 > 1", "range(9223372036854775806, 9223372036854775807) | list | length",
    "loop", "messages | length > 3 and messages[0].role == 'system'", "'a' if messages else 'b'", "namespace(a=1).a", "(1,)", "()", "'%s' is string", "'a-b_c'.replace('-', ' ').split('_')", "'abc'.join(['x', 'y'])", "', '.join(['x', 'y'])", "'a' in undefined_thing", "undefined_thing | length", "undefined_thing | list", "'x'.isalpha()", "{'a': {'b': 1}}.a.b", "[{'a': 1}] | map(attribute='a') | first", "'banana'.count('an')", "[1,2,1].count(1)",
]
RAISES = [
    "{{ 1 + 'a' }}", "{{ nothing.part }}", "{{ raise_exception('no: ' ~ 1) }}", "{{ nothing() }}", "{{ 1 / 0 }}", "{{ 3 | nofilter }}", "{{ 3 is notest }}", "{% for a, b in [1] %}{% endfor %}", "{{ 'a' < 1 }}", "{{ 'x'.nomethod() }}", "{% if %}{% endif %}", "{% for x in y %}", "{{ (1 }}", "{{ 'open }}", "{% unknown %}", "{{ 5 | length }}",
    "{% set messages.x = 1 %}", "{% endif %}", "{{ messages[0]['content'] - 1 }}", "{% if true %}a", "{{ a b }}", "{% break %}", "{{ [1] + (1,) }}", "{{ 3 | first(1) }}", "{{ [1] | list(2) }}",
]
STATEMENTS = [
    "{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{% endfor %}{{ x }}", "{% set ns = namespace(x=1) %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}", "{% set a, b = 1, 2 %}{{ b }}{{ a }}",
    "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% if not loop.last %},{% endif %}{% endfor %}", "{% for x in [] %}x{% else %}none{% endfor %}", "{% for x in [1, 2, 3, 4] if x is even %}{{ loop.index }}:{{ x }} {% endfor %}",
    "{% for x in [1, 2, 3, 4] %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in 'abc' %}{{ loop.revindex }}{{ x }}{{ loop.previtem }}{{ loop.nextitem }}{% endfor %}",
    "{% set x %}a {{ 1 }}\n b{% endset %}[{{ x }}]", "{% set x | trim | upper %}  a b {% endset %}[{{ x }}]", "{% filter upper %}abc {{ 'd' }}{% endfilter %}", "{% generation %}a{{ 1 }}{% endgeneration %}b", "{% if false %}a{% elif true %}b{% else %}c{% endif %}",
    "{% if 0 %}a{% elif '' %}b{% else %}c{% endif %}", "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}", "{% set q = 5 %}{% macro m() %}{{ q }}{{ inner }}{% endmacro %}{% for inner in [1] %}{{ m() }}{% endfor %}",
    "{% for m in messages %}{{ loop.index0 }}{{ m['role'][0] }}{{ loop.first }}{{ loop.last }} {% endfor %}", "{% for i in [1, 2] %}{% for j in [3, 4] %}{{ i }}{{ j }}{{ loop.index }} {% endfor %}{{ loop.index }}{% endfor %}", "{% for x in range(5) %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% if messages is defined and messages | length %}y{% endif %}", "{%if true%}tight{%endif%}", "{{messages[0].role}}", "{% set x = {'a': 1} %}{{ x.a }}{{ x['b'] }}", "{% for x in [[1, 2], [3, 4]] %}{{ x[0] }}{{ x | last }}{% endfor %}", "{% for a, b in [[1, 2], [3, 4]] %}{{ a * b }} {% endfor %}",
]


def main():
    env, cases = environment(), []

    def add(source, variables):
        try:
            text = env.from_string(source).render(**variables)
        except Exception:
            text = None
        cases.append({"template": source, "variables": "talk" if variables is TALK else "two", "text": text})

    for variables in (TALK, TWO):
        for source in (CHATML, HEADERS, TURNS, THINK, MACRO):
            add(source, variables)
    for source in BLANKS + STATEMENTS + RAISES + ["{{ " + e + " }}" for e in EXPRESSIONS]:
        add(source, TALK)
    json.dump({"talk": TALK, "two": TWO, "cases": cases}, sys.stdout, indent=0, ensure_ascii=True)
    print()


main()
