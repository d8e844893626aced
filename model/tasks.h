// SPDX-License-Identifier: Apache-2.0
// Questions with several answers to choose from. The model's choice is the answer whose tokens are
// the likeliest after the prompt, in all (accuracy) or by character (length-normalised accuracy), as
// lm-evaluation-harness defines both for tasks of the kind "multiple_choice".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/progress.h"
#include "model/language_model.h"

namespace vq {

struct TaskQuestion {
    std::string prompt;
    std::vector<std::string> choices;  ///< at least two
    Index answer = 0;                  ///< index of the right one
    std::string delimiter = " ";       ///< between prompt and choice
};

/// JSON Lines: {"prompt": TEXT, "choices": [TEXT, TEXT...], "answer": 0, "delimiter": " "}; the last
/// key may be left out. `where` names the file in errors. Throws Error that names the line.
std::vector<TaskQuestion> parse_tasks(std::string_view text, const std::string& where);

/// A choice as the model reads it: the prompt, then the choice.
struct TaskSequence {
    std::vector<TokenId> ids;
    Index context = 0;  ///< tokens of the prompt, at least one; those behind it are scored
    Index characters = 0;
};

struct TaskBatch {
    std::vector<TaskSequence> sequences;  ///< of all choices of the first question, the second, ...
    std::vector<Index> choices;           ///< of each question
    std::vector<Index> answers;
    Index longest = 0;    ///< tokens that the model reads of a sequence, at most
    Index shortened = 0;  ///< sequences that lost the beginning of their prompts
};

/// Tokens of questions. White space at the end of a prompt belongs to the choice, as it does in
/// the harness. `begin`: the token to put before every prompt; below 0: none. Prompts lose their
/// beginnings where a sequence is longer than `most` tokens. Throws Error when a choice or a prompt
/// has no token.
TaskBatch encode_tasks(const std::vector<TaskQuestion>& questions, const Tokenizer& tokenizer,
                       TokenId begin, Index most);

/// Shares of questions, with standard errors (of the mean of a sample).
struct TaskResult {
    Index questions = 0;
    double accuracy = 0;
    double accuracy_stderr = 0;
    double accuracy_norm = 0;
    double accuracy_norm_stderr = 0;
    std::vector<double> log_likelihoods;  ///< of every sequence, nats
};

TaskResult run_tasks(const LanguageModel& model, const TaskBatch& batch, const Progress& progress);

Json to_json(const TaskResult& result);

}  // namespace vq
