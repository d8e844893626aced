// SPDX-License-Identifier: Apache-2.0
#include "model/session/sweep.h"

#include <fmt/format.h>

#include <optional>

#include "base/cpu.h"
#include "base/error.h"
#include "io/files/file_lock.h"
#include "model/session/sweep_worker.h"

namespace vq {

namespace {

constexpr const char* lock_name = "sweep.lock";

std::string label(const SweepPoint& point) {
    std::string text = point.method;
    if (point.bits) text += fmt::format(" {} bits", *point.bits);
    for (const std::string& assignment : point.assignments()) text += " " + assignment;
    return text + fmt::format(" seed {}", point.seed);
}

/// Progress of one point among all.
Progress inside(const Progress& outer, std::string what) {
    return {.step = [&outer, what](
                        double done, double total,
                        const std::string& of) { outer.report(done, total, what + ": " + of); },
            .note = [&outer, what](const std::string& line) { outer.log(what + ": " + line); },
            .cancelled = outer.cancelled};
}

struct Task {
    const SweepPoint* point = nullptr;
    PointNames names;
    std::optional<Json> row;  ///< once it is known
};

class Runner {
public:
    Runner(const SweepSpec& spec, const SweepOptions& options, const Progress& progress,
           const SweepRowCallback& on_row)
        : spec_(spec),
          options_(options),
          progress_(progress),
          on_row_(on_row),
          worker_(spec, options.folder, options.kept_sums),
          lock_(claim_folder(options.folder, lock_name)) {
        worker_.files().make_folders();
    }

    SweepReport run() {
        SweepReport report;
        for (const SweepPoint& point : spec_.points) tasks_.push_back({&point, {}, {}});
        for (Task& task : tasks_) find(task);
        for (const Task& task : tasks_)
            if (task.row && !task.row->contains("error")) {
                ++report.earlier;
                announce(*task.row, true);
            }
        for (std::size_t i = 0; i < tasks_.size(); ++i) {
            Task& task = tasks_[i];
            if (task.row && !task.row->contains("error")) continue;
            progress_.check();
            if (!task.row) {
                const Progress own = inside(
                    progress_, fmt::format("{}/{} {}", i + 1, tasks_.size(), label(*task.point)));
                task.row = worker_.attempt(*task.point, task.names, own);
            }
            announce(*task.row, false);
            write_results();
        }
        write_results();
        for (const Task& task : tasks_) {
            if (task.row->contains("error")) ++report.failed;
            report.rows.push_back(*task.row);
        }
        return report;
    }

private:
    /// Its names, and its row if an earlier run made it, or if its input cannot be read.
    void find(Task& task) {
        try {
            task.names = worker_.names(*task.point);
        } catch (const Error& error) {
            task.row = SweepWorker::failed_row(*task.point, {}, error.what());
            return;
        }
        task.row = worker_.files().done_row(task.names);
        if (task.row && !spec_.keep_stores) worker_.files().remove_store(task.names);
    }

    void announce(const Json& row, bool earlier) {
        if (on_row_) on_row_(row, ++announced_, tasks_.size(), earlier);
    }

    void write_results() const {
        std::vector<Json> rows;
        for (const Task& task : tasks_)
            if (task.row) rows.push_back(*task.row);
        worker_.files().write_results({{"vqkit", VQKIT_VERSION},
                                       {"command", options_.command},
                                       {"sweep", spec_.source},
                                       {"precision", worker_.precision()},
                                       {"instruction_set", isa_name(active_isa())},
                                       {"total", tasks_.size()}},
                                      rows);
    }

    const SweepSpec& spec_;
    const SweepOptions& options_;
    const Progress& progress_;
    const SweepRowCallback& on_row_;
    SweepWorker worker_;
    FileLock lock_;
    std::vector<Task> tasks_;
    std::size_t announced_ = 0;
};

}  // namespace

SweepReport run_sweep(const SweepSpec& spec, const SweepOptions& options, const Progress& progress,
                      const SweepRowCallback& on_row) {
    return Runner(spec, options, progress, on_row).run();
}

Json run_sweep_point(const SweepSpec& spec, const SweepOptions& options, std::size_t index,
                     const Progress& progress) {
    VQ_ASSERT(index < spec.points.size());
    const SweepPoint& point = spec.points[index];
    SweepWorker worker(spec, options.folder, 0);
    const FileLock together(claim_folder(options.folder, lock_name), LockKind::together);
    const SweepFiles& files = worker.files();
    files.make_folders();
    const PointNames names = worker.names(point);
    const FileLock own(files.point(names) + ".lock");
    if (const std::optional<Json> row = files.done_row(names)) return *row;
    Json row = worker.attempt(point, names, inside(progress, label(point)));
    // Whoever waits for the file is to see that nothing more will come.
    if (row.contains("error")) files.write_row(names, row);
    return row;
}

std::vector<PointNames> sweep_names(const SweepSpec& spec) {
    SweepInputs inputs(spec);
    std::vector<PointNames> names;
    for (const SweepPoint& point : spec.points)
        names.push_back(point_names(point, spec.evaluation, inputs.of(point)));
    return names;
}

}  // namespace vq
