// SPDX-License-Identifier: Apache-2.0
#include "model/tasks.h"

#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "model/eval_statistics.h"
#include "model/ops/work_split.h"
#include "model/token_loss.h"

namespace vq {

namespace {

TaskQuestion parse_question(std::string_view line, const std::string& where) {
    const auto refuse = [&](const std::string& what) {
        return Error(what, where,
                     "each line is {\"prompt\": TEXT, \"choices\": [TEXT, TEXT...], \"answer\": "
                     "INDEX}");
    };
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object()) throw refuse("no JSON object");
    TaskQuestion question;
    for (const auto& [key, value] : json.items()) {
        if (key == "prompt" || key == "delimiter") {
            if (!value.is_string()) throw refuse("\"" + key + "\" is no text");
            (key == "prompt" ? question.prompt : question.delimiter) = value;
        } else if (key == "choices") {
            if (!value.is_array()) throw refuse("\"choices\" is no list");
            for (const Json& choice : value) {
                if (!choice.is_string() || choice.get_ref<const std::string&>().empty())
                    throw refuse("a choice is no text");
                question.choices.push_back(choice);
            }
        } else if (key == "answer") {
            if (!value.is_number_integer()) throw refuse("\"answer\" is no whole number");
            question.answer = value;
        } else {
            throw refuse("the key \"" + key + "\" is not known");
        }
    }
    if (question.choices.size() < 2) throw refuse("fewer than two choices");
    if (!json.contains("answer") || question.answer < 0 ||
        question.answer >= static_cast<Index>(question.choices.size()))
        throw refuse("\"answer\" is none of the choices");
    return question;
}

/// Code points of UTF-8.
Index characters(std::string_view text) {
    return std::count_if(text.begin(), text.end(),
                         [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
}

TaskSequence encode_choice(const TaskQuestion& question, const std::string& choice,
                           const Tokenizer& tokenizer, TokenId begin) {
    const std::size_t end = question.prompt.find_last_not_of(" \t\n\r\f\v");
    const std::string prompt = question.prompt.substr(0, end == std::string::npos ? 0 : end + 1);
    const std::string rest = question.prompt.substr(prompt.size()) + question.delimiter + choice;
    TaskSequence sequence;
    sequence.characters = characters(choice);
    if (begin >= 0) sequence.ids.push_back(begin);
    const std::vector<TokenId> alone = tokenizer.encode(prompt, false);
    const std::vector<TokenId> whole = tokenizer.encode(prompt + rest, false);
    sequence.ids.insert(sequence.ids.end(), whole.begin(), whole.end());
    sequence.context = static_cast<Index>(alone.size()) + (begin >= 0 ? 1 : 0);
    return sequence;
}

/// The choice with the largest value, the first of equals.
Index best_of(const double* values, Index n) {
    return std::max_element(values, values + n) - values;
}

}  // namespace

std::vector<TaskQuestion> parse_tasks(std::string_view text, const std::string& where) {
    std::vector<TaskQuestion> questions;
    for (Index number = 1; !text.empty(); ++number) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        questions.push_back(parse_question(line, where + ": line " + std::to_string(number)));
    }
    if (questions.empty()) throw Error("no questions", where, "give one a line");
    return questions;
}

TaskBatch encode_tasks(const std::vector<TaskQuestion>& questions, const Tokenizer& tokenizer,
                       TokenId begin, Index most) {
    TaskBatch batch;
    for (std::size_t q = 0; q < questions.size(); ++q) {
        const TaskQuestion& question = questions[q];
        for (const std::string& choice : question.choices) {
            TaskSequence s = encode_choice(question, choice, tokenizer, begin);
            const Index scored = static_cast<Index>(s.ids.size()) - s.context;
            if (s.context < 1 || scored < 1)
                throw Error("a prompt or a choice has no token of its own",
                            "question " + std::to_string(q + 1), "give both some text");
            if (scored > most)
                throw Error("a choice is longer than the model can take",
                            "question " + std::to_string(q + 1), "use shorter choices");
            // The last token is predicted and not read.
            const Index over = static_cast<Index>(s.ids.size()) - 1 - most;
            if (over > 0) {
                s.ids.erase(s.ids.begin(), s.ids.begin() + over);
                s.context -= over;
                ++batch.shortened;
            }
            batch.longest = std::max(batch.longest, static_cast<Index>(s.ids.size()) - 1);
            batch.sequences.push_back(std::move(s));
        }
        batch.choices.push_back(static_cast<Index>(question.choices.size()));
        batch.answers.push_back(question.answer);
    }
    return batch;
}

TaskResult run_tasks(const LanguageModel& model, const TaskBatch& batch, const Progress& progress) {
    TaskResult result;
    const auto sequences = static_cast<Index>(batch.sequences.size());
    result.log_likelihoods.resize(batch.sequences.size());
    const Index width = model.config().hidden_size;
    std::mutex mutex;
    Index done = 0;
    parallel_for_outer(sequences, [&](Index i) {
        const TaskSequence& s = batch.sequences[static_cast<std::size_t>(i)];
        {
            const std::lock_guard lock(mutex);
            progress.check();
        }
        const auto ids = std::span(s.ids);
        const auto read = static_cast<Index>(ids.size()) - 1;
        const auto hidden = model.scratch().floats(read * width);
        model.forward(ids.first(ids.size() - 1), nullptr, hidden.floats());
        const auto targets = ids.subspan(static_cast<std::size_t>(s.context));
        std::vector<double> nll(targets.size());
        token_losses(model, hidden.floats() + (s.context - 1) * width, nullptr, nullptr, targets,
                     {.nll = nll.data()});
        double sum = 0;
        for (const double loss : nll) sum -= loss;
        result.log_likelihoods[static_cast<std::size_t>(i)] = sum;
        const std::lock_guard lock(mutex);
        progress.report(static_cast<double>(++done), static_cast<double>(sequences), "choices");
    });

    std::vector<double> right;
    std::vector<double> right_norm;
    std::size_t first = 0;
    for (std::size_t q = 0; q < batch.choices.size(); ++q) {
        const auto n = static_cast<std::size_t>(batch.choices[q]);
        const double* sums = result.log_likelihoods.data() + first;
        std::vector<double> normed(n);
        for (std::size_t c = 0; c < n; ++c)
            normed[c] = sums[c] / static_cast<double>(batch.sequences[first + c].characters);
        right.push_back(best_of(sums, batch.choices[q]) == batch.answers[q] ? 1 : 0);
        right_norm.push_back(best_of(normed.data(), batch.choices[q]) == batch.answers[q] ? 1 : 0);
        first += n;
    }
    result.questions = static_cast<Index>(right.size());
    result.accuracy = mean(right);
    result.accuracy_stderr = standard_error(right, result.accuracy);
    result.accuracy_norm = mean(right_norm);
    result.accuracy_norm_stderr = standard_error(right_norm, result.accuracy_norm);
    return result;
}

Json to_json(const TaskResult& result) {
    return {{"questions", result.questions},
            {"accuracy", result.accuracy},
            {"accuracy_stderr", result.accuracy_stderr},
            {"accuracy_norm", result.accuracy_norm},
            {"accuracy_norm_stderr", result.accuracy_norm_stderr}};
}

}  // namespace vq
