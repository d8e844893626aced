// SPDX-License-Identifier: Apache-2.0
// Runs the real `vq` program and looks at what it prints, returns and leaves behind.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "io/checkpoints/weight_source.h"
#include "io/files/safetensors.h"
#include "tests/io/formats_fixture.h"

namespace vq::test {

inline const std::string tiny_model = std::string(VQKIT_MODELS) + "/tiny";

struct Outcome {
    int code = -1;  ///< exit code; 128 + signal if one ended it
    std::string out;
    std::string err;
};

struct RunOptions {
    rlim_t file_size_limit = RLIM_INFINITY;      ///< stands for a full disk
    rlim_t address_space_limit = RLIM_INFINITY;  ///< `ulimit -v`
    std::string out_path = {};                   ///< where stdout goes instead
    std::string err_path = {};                   ///< where stderr goes instead
    std::vector<int> closed = {};                ///< descriptors that are closed at the start
};

/// Starts `vq` with its output going to files in `folder`.
inline pid_t start_vq(const std::vector<std::string>& arguments, const std::string& out,
                      const std::string& err, const RunOptions& options = {}) {
    const pid_t child = fork();
    if (child != 0) return child;
    const int out_file = open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int err_file = open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(out_file, STDOUT_FILENO);
    dup2(err_file, STDERR_FILENO);
    const rlimit limit = {options.file_size_limit, options.file_size_limit};
    setrlimit(RLIMIT_FSIZE, &limit);
    const rlimit space = {options.address_space_limit, options.address_space_limit};
    setrlimit(RLIMIT_AS, &space);
    close(out_file);
    close(err_file);
    for (const int fd : options.closed) close(fd);
    std::vector<char*> argv = {const_cast<char*>("vq")};
    for (const std::string& argument : arguments)
        argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    execv(VQ_PROGRAM, argv.data());
    _exit(127);
}

inline int wait_for(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

inline Outcome run_vq(const std::vector<std::string>& arguments, const RunOptions& options = {}) {
    const TempFolder folder;
    const std::string out = options.out_path.empty() ? folder / "out" : options.out_path;
    const std::string err = options.err_path.empty() ? folder / "err" : options.err_path;
    const pid_t child = start_vq(arguments, out, err, options);
    Outcome outcome;
    outcome.code = wait_for(child);
    if (options.out_path.empty()) outcome.out = read_bytes(out);
    if (options.err_path.empty()) outcome.err = read_bytes(err);
    return outcome;
}

/// Names of everything in a folder.
inline std::set<std::string> listing(const std::string& folder) {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
        names.insert(std::filesystem::relative(entry.path(), folder).string());
    return names;
}

/// One line "error: WHAT: WHERE: WHAT TO DO" on stderr, nothing on stdout, exit code 1, and every
/// one of `parts` in the line.
inline void expect_one_error(const Outcome& outcome, const std::vector<std::string>& parts) {
    EXPECT_EQ(outcome.code, 1);
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err.rfind("error: ", 0), 0U) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    std::size_t colons = 0;
    for (std::size_t at = 0; (at = outcome.err.find(": ", at)) != std::string::npos; ++at) ++colons;
    EXPECT_GE(colons, 3U) << "not WHAT: WHERE: WHAT TO DO: " << outcome.err;
    for (const std::string& part : parts)
        EXPECT_NE(outcome.err.find(part), std::string::npos)
            << part << " is not in " << outcome.err;
}

/// Changes a copy of the tiny model while it is made: may alter a tensor, or drop it by returning
/// false.
using Edit = std::function<bool(const std::string& name, Matrix& values)>;

/// The first block of the tiny model as a folder of its own, so that runs take a second.
inline std::string one_block_model(const std::string& folder, const Edit& edit = {}) {
    const auto source = open_checkpoint(tiny_model);
    std::filesystem::create_directory(folder);
    std::vector<SafetensorEntry> entries;
    std::vector<Matrix> values;
    for (const std::string& name : source->names()) {
        const bool block = name.rfind("model.layers.", 0) == 0;
        if (block && name.rfind("model.layers.0.", 0) != 0) continue;
        Matrix matrix = source->read(name);
        if (edit && !edit(name, matrix)) continue;
        std::vector<std::int64_t> shape = {matrix.rows(), matrix.cols()};
        if (name.ends_with("norm.weight")) shape = {matrix.cols()};
        entries.push_back({name, SafetensorType::f32, shape});
        values.push_back(std::move(matrix));
    }
    SafetensorsWriter writer(folder + "/model.safetensors", entries);
    for (std::size_t i = 0; i < entries.size(); ++i)
        writer.write(entries[i].name, values[i].data());
    writer.finish();
    std::string config = source->config().hf_json;
    const std::string layers = "\"num_hidden_layers\": 4";
    config.replace(config.find(layers), layers.size(), "\"num_hidden_layers\": 1");
    write_bytes(folder + "/config.json", config);
    for (const auto& [name, content] : source->tokenizer_files())
        write_bytes((std::filesystem::path(folder) / name).string(), content);
    return folder;
}

/// A quantization of `model` that takes about a second.
inline std::vector<std::string> quick_quantize(const std::string& model,
                                               const std::string& output) {
    return {"quantize",
            model,
            "-o",
            output,
            "--calib",
            tiny_model + "/calib.txt",
            "--calib-tokens",
            "1024",
            "--method",
            "rvq",
            "--bits",
            "2.5",
            "--set",
            "refine.rounds=1",
            "--set",
            "encoder.beam=4",
            "--quiet"};
}

}  // namespace vq::test
