// SPDX-License-Identifier: Apache-2.0
#include "io/jinja/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "io/jinja/builtins.h"
#include "io/jinja/evaluate.h"

namespace vq::jinja {
namespace {

constexpr std::size_t most_steps = 2'000'000;  // statements: a template cannot run for ever

enum class Flow { on, leave, proceed };

class Renderer {
public:
    Renderer(const Dict& variables, std::time_t now) {
        set_globals(now);
        scopes_.enter();  // variables hide globals
        for (const auto& [name, value] : variables) scopes_.set(name, value);
    }

    Flow run(const Body& body, std::string& out) {
        for (const Statement& statement : body) {
            if (++steps_ > most_steps) fail("the template runs without end");
            const Flow flow = run(statement, out);
            if (flow != Flow::on) return flow;
        }
        return Flow::on;
    }

private:
    Flow run(const Statement& s, std::string& out) {
        const Scopes::Level level(scopes_);
        switch (s.kind) {
            case StatementKind::text: out += s.name; break;
            case StatementKind::print: out += evaluate(*s.value, scopes_).str(); break;
            case StatementKind::condition: return condition(s, out);
            case StatementKind::loop: loop(s, out); break;
            case StatementKind::assignment: assign(s); break;
            case StatementKind::capture: scopes_.set(s.targets[0], printed(s)); break;
            case StatementKind::filter_block: out += printed(s).str(); break;
            case StatementKind::macro: scopes_.set(s.targets[0], macro(s)); break;
            case StatementKind::scope: return run(s.bodies[0], out);
            case StatementKind::leave: return Flow::leave;
            case StatementKind::proceed: return Flow::proceed;
        }
        return Flow::on;
    }

    Flow condition(const Statement& s, std::string& out) {
        for (std::size_t i = 0; i < s.conditions.size(); ++i)
            if (evaluate(*s.conditions[i], scopes_).truth()) return run(s.bodies[i], out);
        return s.bodies.size() > s.conditions.size() ? run(s.bodies.back(), out) : Flow::on;
    }

    void bind(const std::vector<std::string>& targets, const Value& value) {
        if (targets.size() == 1) return scopes_.set(targets.front(), value);
        const List parts = items_of(value);
        if (parts.size() != targets.size())
            fail(fmt::format("{} values for {} names", parts.size(), targets.size()));
        for (std::size_t i = 0; i < parts.size(); ++i) scopes_.set(targets[i], parts[i]);
    }

    void loop(const Statement& s, std::string& out) {
        List items;
        for (Value& item : items_of(evaluate(*s.value, scopes_))) {
            bool taken = true;
            if (!s.conditions.empty()) {
                scopes_.enter();
                bind(s.targets, item);
                taken = evaluate(*s.conditions.front(), scopes_).truth();
                scopes_.leave();
            }
            if (taken) items.push_back(std::move(item));
        }
        if (items.empty() && s.bodies.size() > 1) run(s.bodies[1], out);
        for (std::size_t i = 0; i < items.size(); ++i) {
            scopes_.enter();
            bind(s.targets, items[i]);
            scopes_.set("loop", loop_facts(items, i));
            const Flow flow = run(s.bodies[0], out);
            scopes_.leave();
            if (flow == Flow::leave) break;
        }
    }

    static Value loop_facts(const List& items, std::size_t i) {
        const auto at = static_cast<std::int64_t>(i);
        const auto size = static_cast<std::int64_t>(items.size());
        Dict facts = {{"index", Value::integer(at + 1)},
                      {"index0", Value::integer(at)},
                      {"revindex", Value::integer(size - at)},
                      {"revindex0", Value::integer(size - at - 1)},
                      {"first", Value::boolean(i == 0)},
                      {"last", Value::boolean(i + 1 == items.size())},
                      {"length", Value::integer(size)}};
        if (i > 0) facts.emplace_back("previtem", items[i - 1]);
        if (i + 1 < items.size()) facts.emplace_back("nextitem", items[i + 1]);
        facts.emplace_back("cycle", Value::function([i](const Arguments& a) {
                               if (a.positional.empty()) fail("loop.cycle without values");
                               return a.positional[i % a.positional.size()];
                           }));
        return Value::dict(std::move(facts));
    }

    void assign(const Statement& s) {
        Value value = evaluate(*s.value, scopes_);
        if (s.name.empty()) return bind(s.targets, value);
        // Only namespaces have parts that can be set.
        const Value of = scopes_.find(s.targets[0]);
        Dict* parts = of.if_namespace();
        if (parts == nullptr)
            fail(fmt::format("line {}: \"{}\" is no namespace", s.line, s.targets[0]));
        if (value.holds_namespace())
            fail(fmt::format("line {}: a namespace in a namespace is not understood", s.line));
        for (auto& [name, held] : *parts) {
            if (name != s.name) continue;
            held = std::move(value);
            return;
        }
        parts->emplace_back(s.name, std::move(value));
    }

    /// What a body prints, through the statement's filters.
    Value printed(const Statement& s) {
        std::string text;
        scopes_.enter();
        run(s.bodies[0], text);
        scopes_.leave();
        const Value whole = Value::text(std::move(text));
        return s.value ? evaluate_filters(*s.value, scopes_, whole) : whole;
    }

    Value macro(const Statement& s) {
        return Value::function([this, &s, depth = scopes_.depth()](const Arguments& arguments) {
            if (arguments.positional.size() > s.parameters.size())
                fail(
                    fmt::format("the macro {} takes {} values", s.targets[0], s.parameters.size()));
            for (const auto& [name, value] : arguments.named) {
                const bool known = std::any_of(s.parameters.begin(), s.parameters.end(),
                                               [&](const Parameter& p) { return p.name == name; });
                if (!known)
                    fail(fmt::format("the macro {} has no parameter {}", s.targets[0], name));
            }
            std::vector<Dict> caller = scopes_.hide_above(depth);
            scopes_.enter();
            for (std::size_t i = 0; i < s.parameters.size(); ++i) {
                const Parameter& p = s.parameters[i];
                const Value* given = argument(arguments, i, p.name);
                Value value = given != nullptr ? *given
                              : p.fallback     ? evaluate(*p.fallback, scopes_)
                                               : Value::undefined(p.name);
                scopes_.set(p.name, std::move(value));
            }
            std::string out;
            run(s.bodies[0], out);
            scopes_.leave();
            scopes_.restore(std::move(caller));
            return Value::text(std::move(out));
        });
    }

    void set_globals(std::time_t now) {
        scopes_.set("range", Value::function([](const Arguments& a) {
                        check_arguments(a, 3, {}, "range");
                        const std::size_t n = a.positional.size();
                        if (n == 0) fail("range without an end");
                        const auto at = [&](std::size_t i) {
                            return need_integer(a.positional[i], "range");
                        };
                        const std::int64_t step = n == 3 ? at(2) : 1;
                        if (step == 0) fail("range with step 0");
                        List out;
                        const std::int64_t end = at(n == 1 ? 0 : 1);
                        std::int64_t i = n == 1 ? 0 : at(0);
                        while (step > 0 ? i < end : i > end) {
                            if (out.size() >= 1'000'000) fail("range is too long");
                            out.push_back(Value::integer(i));
                            if (__builtin_add_overflow(i, step, &i)) break;
                        }
                        return Value::list(std::move(out));
                    }));
        scopes_.set("dict", Value::function([](const Arguments& a) {
                        check_arguments_of_dict(a);
                        return Value::dict(Dict(a.named.begin(), a.named.end()));
                    }));
        scopes_.set("namespace", Value::function([](const Arguments& a) {
                        check_arguments_of_dict(a);
                        return Value::name_space(Dict(a.named.begin(), a.named.end()));
                    }));
        scopes_.set("raise_exception", Value::function([](const Arguments& a) -> Value {
                        throw Error(a.positional.empty() ? "refused" : a.positional[0].str(),
                                    "chat template", "change the messages as it asks");
                    }));
        scopes_.set("strftime_now", Value::function([now](const Arguments& a) {
                        check_arguments(a, 1, {}, "strftime_now");
                        const Value* format = argument(a, 0, "format");
                        if (format == nullptr) fail("strftime_now without a format");
                        std::tm local{};
                        localtime_r(&now, &local);
                        std::array<char, 256> text{};
                        const std::size_t n =
                            std::strftime(text.data(), text.size(),
                                          need_text(*format, "strftime_now").c_str(), &local);
                        return Value::text(std::string(text.data(), n));
                    }));
    }

    static void check_arguments_of_dict(const Arguments& a) {
        if (!a.positional.empty()) fail("dict and namespace take names with values only");
    }

    Scopes scopes_;
    std::size_t steps_ = 0;
};

}  // namespace

std::string Template::render(const Dict& variables, std::time_t now) const {
    std::string out;
    Renderer(variables, now).run(body_, out);
    return out;
}

}  // namespace vq::jinja
