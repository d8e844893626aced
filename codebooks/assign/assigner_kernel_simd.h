// SPDX-License-Identifier: Apache-2.0
// The vector kernel of Assigner, written once for every vector instruction set. Included only by
// assigner_kernel_<isa>.cpp, inside an unnamed namespace and with nothing from the standard
// library, so that no code for one instruction set can be linked into another's callers.
//
// `Simd` supplies the vectors: F (floats), I (32-bit integers), M (masks), `width` lanes,
// `queries` points and `vectors` vectors of codewords a register tile. One step scores
// queries x (vectors * width) pairs: per dimension it loads `vectors` vectors of codewords and
// broadcasts `queries` coordinates for queries * vectors FMAs, so that neither the load ports nor
// the FMA latency limits it. Codebooks larger than L1 are cut into chunks that stay there while a
// batch of points passes over them.
#pragma once

constexpr int block_lanes = 32;        ///< codewords a block of BlockedCodebook
constexpr int max_dimension = 64;      ///< Assigner::max_dimension
constexpr int max_results = 64;        ///< Assigner::max_t
constexpr int chunk_bytes = 16 << 10;  ///< of the codebook: half of the smallest L1d
constexpr int head_blocks = 128;       ///< blocks that nearest_t scores before it knows a bound
constexpr int group_lanes = 64;        ///< scores tested at once; 64 groups are the head
constexpr int rank_window = 128;       ///< candidates ranked at a time
constexpr int rank_slack = 32;         ///< two vectors: what whole-vector accesses may overrun
constexpr int candidate_limit = 1024;  ///< of one point

/// Points transposed for broadcasting: value j of the point in slot q is at [j * queries + q].
/// Weighted: `linear` holds w x and `half` holds w / 2; plain: `linear` holds x.
template <class Simd, bool weighted>
struct QueryTile {
    float linear[max_dimension * Simd::queries];
    float half[weighted ? max_dimension * Simd::queries : 1];

    void load(const float* x, const float* w, std::int64_t count, std::int64_t d) {
        constexpr int Q = Simd::queries;
        for (int q = 0; q < Q; ++q) {
            for (std::int64_t j = 0; j < d; ++j) {
                const bool used = q < count;
                const float value = used ? x[q * d + j] : 0.0F;
                if constexpr (weighted) {
                    const float weight = used ? w[q * d + j] : 0.0F;
                    linear[j * Q + q] = weight * value;
                    half[j * Q + q] = 0.5F * weight;
                } else {
                    linear[j * Q + q] = value;
                }
            }
        }
    }
};

/// Of each point of a tile and each register of lanes.
template <class Simd>
using Scores = typename Simd::F[std::size_t{Simd::queries}][std::size_t{Simd::vectors}];

/// score[q][v] of one step; `rows` points at the step's first lane in its block.
template <class Simd, bool weighted>
[[gnu::always_inline]] inline void score_step(const float* rows, std::int64_t d,
                                              const QueryTile<Simd, weighted>& tile,
                                              Scores<Simd>& score) {
    constexpr int Q = Simd::queries;
    constexpr int V = Simd::vectors;
    const float* start = weighted ? rows + (d + 1) * block_lanes : rows;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
        const auto first = Simd::load(start + v * Simd::width);
#pragma GCC unroll 8
        for (int q = 0; q < Q; ++q) score[q][v] = first;
    }
    for (std::int64_t j = 0; j < d; ++j) {
        rows += block_lanes;
        typename Simd::F c[std::size_t{V}];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) c[v] = Simd::load(rows + v * Simd::width);
#pragma GCC unroll 8
        for (int q = 0; q < Q; ++q) {
            const auto linear = Simd::broadcast(tile.linear + j * Q + q);
            if constexpr (weighted) {
                const auto half = Simd::broadcast(tile.half + j * Q + q);
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v)
                    score[q][v] = Simd::fmadd(Simd::fmsub(half, c[v], linear), c[v], score[q][v]);
            } else {
#pragma GCC unroll 8
                for (int v = 0; v < V; ++v) score[q][v] = Simd::fnmadd(linear, c[v], score[q][v]);
            }
        }
    }
}

/// Best score and its codeword (of lane 0: the lane is added at the end) of each lane.
template <class Simd>
struct LaneBest {
    typename Simd::F score;
    typename Simd::I code;
};

template <class Simd, bool weighted>
void nearest_batch(const BlockedCodebook& book, const float* x, const float* w, std::int64_t n,
                   std::uint32_t* codes) {
    constexpr int Q = Simd::queries;
    constexpr int V = Simd::vectors;
    constexpr int step_lanes = V * Simd::width;
    constexpr int tiles = 48 / Q;  // points a batch: their state stays in L2 or better
    QueryTile<Simd, weighted> tile[std::size_t{tiles}];
    LaneBest<Simd> best[std::size_t{tiles * Q}];
    const std::int64_t block_floats = (book.d + 2) * block_lanes;
    std::int64_t chunk = chunk_bytes / (block_floats * static_cast<std::int64_t>(sizeof(float)));
    chunk = chunk < 1 ? 1 : chunk;

    for (std::int64_t first = 0; first < n; first += tiles * Q) {
        const std::int64_t count = n - first < tiles * Q ? n - first : tiles * Q;
        const int used_tiles = static_cast<int>((count + Q - 1) / Q);
        for (int g = 0; g < used_tiles; ++g) {
            const std::int64_t at = (first + g * Q) * book.d;
            tile[g].load(x + at, weighted ? w + at : nullptr, count - g * Q, book.d);
        }
        for (int q = 0; q < used_tiles * Q; ++q) best[q] = {Simd::infinity(), Simd::splat(0)};

        for (std::int64_t b0 = 0; b0 < book.blocks; b0 += chunk) {
            const std::int64_t b1 = b0 + chunk < book.blocks ? b0 + chunk : book.blocks;
            for (int g = 0; g < used_tiles; ++g) {
                LaneBest<Simd> state[std::size_t{Q}];
#pragma GCC unroll 8
                for (int q = 0; q < Q; ++q) state[q] = best[g * Q + q];
                const float* rows = book.rows + b0 * block_floats;
                for (std::int64_t b = b0; b < b1; ++b, rows += block_floats) {
                    for (int lane = 0; lane < block_lanes; lane += step_lanes) {
                        Scores<Simd> score;
                        score_step<Simd, weighted>(rows + lane, book.d, tile[g], score);
#pragma GCC unroll 8
                        for (int v = 0; v < V; ++v) {
                            const auto code = Simd::splat(
                                static_cast<int>(b * block_lanes + lane + v * Simd::width));
#pragma GCC unroll 8
                            for (int q = 0; q < Q; ++q) {
                                const auto below = Simd::less(score[q][v], state[q].score);
                                // min(a, b) gives b unless a < b, as the mask does.
                                state[q].score = Simd::min(score[q][v], state[q].score);
                                state[q].code = Simd::blend(below, state[q].code, code);
                            }
                        }
                    }
                }
#pragma GCC unroll 8
                for (int q = 0; q < Q; ++q) best[g * Q + q] = state[q];
            }
        }
        for (std::int64_t q = 0; q < count; ++q)
            codes[first + q] = Simd::lowest_best(best[q].score, best[q].code);
    }
}

/// The candidates of one point, in an order that is ascending by code among equal scores.
struct Candidates {
    float threshold;
    int count;
    alignas(64) float score[candidate_limit + rank_slack];
    alignas(64) std::uint32_t code[candidate_limit + rank_slack];
};

/// rank[i] = place of score[i] in ascending order, the earlier first among equals. Two vectors of
/// scores at a time, to overlap their chains. Reads and writes up to rank_slack past `count`.
template <class Simd>
void rank_scores(const float* score, int count, int* rank) {
    constexpr int W = Simd::width;
    const auto before = [count](int j) { return j < count ? j : count; };
    for (int first = 0; first < count; first += 2 * W) {
        const auto low = Simd::load_unaligned(score + first);
        const auto high = Simd::load_unaligned(score + first + W);
        auto low_rank = Simd::splat(0);
        auto high_rank = Simd::splat(0);
        int j = 0;
        for (; j < first; ++j) {
            const auto other = Simd::broadcast(score + j);
            low_rank = Simd::increment(low_rank, Simd::less_equal(other, low));
            high_rank = Simd::increment(high_rank, Simd::less_equal(other, high));
        }
        for (; j < before(first + W); ++j) {
            const auto other = Simd::broadcast(score + j);
            low_rank = Simd::increment(low_rank, Simd::less_or_equal_after(other, low, j - first));
            high_rank = Simd::increment(high_rank, Simd::less_equal(other, high));
        }
        for (; j < before(first + 2 * W); ++j) {
            const auto other = Simd::broadcast(score + j);
            low_rank = Simd::increment(low_rank, Simd::less(other, low));
            high_rank =
                Simd::increment(high_rank, Simd::less_or_equal_after(other, high, j - first - W));
        }
        for (; j < count; ++j) {
            const auto other = Simd::broadcast(score + j);
            low_rank = Simd::increment(low_rank, Simd::less(other, low));
            high_rank = Simd::increment(high_rank, Simd::less(other, high));
        }
        Simd::store(rank + first, low_rank);
        Simd::store(rank + first + W, high_rank);
    }
}

/// Cuts the candidates to the t best, sorted, and the threshold to the t-th score (if there is
/// one).
template <class Simd>
void keep_best(Candidates& of, int t) {
    int rank[rank_window + rank_slack];
    float score[rank_window];
    std::uint32_t code[rank_window];
    int kept = 0;
    int next = 0;
    while (next < of.count) {
        // The window is the survivors so far, moved up against the next candidates.
        const int room = rank_window - kept;
        const int fresh = of.count - next < room ? of.count - next : room;
        const int begin = next - kept;
        for (int i = kept; i-- > 0;) {
            of.score[begin + i] = of.score[i];
            of.code[begin + i] = of.code[i];
        }
        const int count = kept + fresh;
        rank_scores<Simd>(of.score + begin, count, rank);
        for (int i = 0; i < count; ++i) {
            score[rank[i]] = of.score[begin + i];
            code[rank[i]] = of.code[begin + i];
        }
        kept = count < t ? count : t;
        next += fresh;
        for (int i = 0; i < kept; ++i) {
            of.score[i] = score[i];
            of.code[i] = code[i];
        }
    }
    of.count = kept;
    if (kept == t) of.threshold = of.score[t - 1];
}

/// Writes the codes of the t best candidates, nearest first.
template <class Simd>
void write_best(Candidates& of, int t, std::uint32_t* codes) {
    if (of.count < t) {  // too few finite scores: only for points that are not finite
        for (int r = 0; r < t; ++r) codes[r] = static_cast<std::uint32_t>(r);
        return;
    }
    if (of.count > rank_window) keep_best<Simd>(of, t);
    int rank[rank_window + rank_slack];
    std::uint32_t code[rank_window];
    rank_scores<Simd>(of.score, of.count, rank);
    for (int i = 0; i < of.count; ++i) code[rank[i]] = of.code[i];
    for (int r = 0; r < t; ++r) codes[r] = code[r];
}

/// Appends the scores at or below the limit among `lanes` of them, codes from `code` on. Always
/// writes, whether or not there are any: cheaper than a mispredicted branch where hits are
/// frequent.
template <class Simd>
void append_reaching(const float* score, int lanes, int code, float limit, int t, Candidates& of) {
    int found = of.count;
    const auto bound = Simd::broadcast(&limit);
    for (int s = 0; s < lanes; s += Simd::width) {
        const auto own = Simd::load(score + s);
        found = Simd::append(Simd::less_equal(own, bound), own, code + s, of.score, of.code, found);
        if (found > candidate_limit - Simd::width) [[unlikely]] {
            of.count = found;
            keep_best<Simd>(of, t);
            found = of.count;
        }
    }
    of.count = found;
}

/// Bit g tells whether group g of 64 scores has one at or below the limit. Up to 64 groups.
template <class Simd>
std::uint64_t reaching_groups(const float* score, int groups, float limit) {
    const auto bound = Simd::broadcast(&limit);
    std::uint64_t out = 0;
    for (int g = 0; g < groups; ++g, score += group_lanes) {
        auto least = Simd::load(score);
#pragma GCC unroll 8
        for (int s = Simd::width; s < group_lanes; s += Simd::width)
            least = Simd::min(Simd::load(score + s), least);
        out |= static_cast<std::uint64_t>(Simd::any(Simd::less_equal(least, bound))) << g;
    }
    return out;
}

/// Collects the scores of the head that reach the bound, the t-th smallest of `streams` minima over
/// disjoint sets of codewords: at least t scores are at or below it, and few more.
template <class Simd>
void collect(const float* score, int lanes, const float* minima, int streams, int t,
             Candidates& of) {
    int rank[rank_window + rank_slack];
    rank_scores<Simd>(minima, streams, rank);
    float bound = 0;
    for (int s = 0; s < streams; ++s) bound = rank[s] == t - 1 ? minima[s] : bound;
    of.threshold = bound;
    of.count = 0;
    // Infinite scores (of padding, or of points that are not finite) never count.
    const float limit = bound < __FLT_MAX__ ? bound : __FLT_MAX__;
    if (lanes <= 32 * streams) {
        append_reaching<Simd>(score, lanes, 0, limit, t, of);
        return;
    }
    const int groups = (lanes + group_lanes - 1) / group_lanes;
    for (std::uint64_t bits = reaching_groups<Simd>(score, groups, limit); bits != 0;
         bits &= bits - 1) {
        const int first = __builtin_ctzll(bits) * group_lanes;
        append_reaching<Simd>(score + first, group_lanes, first, limit, t, of);
    }
}

/// Two passes over the head of the codebook, a tile of points at a time: scores to a buffer with
/// minima a stream, then collect(). Every further block is compared with the threshold in
/// registers.
template <class Simd, bool weighted>
void nearest_t_batch(const BlockedCodebook& book, const float* x, const float* w, std::int64_t n,
                     int t, std::uint32_t* codes) {
    constexpr int Q = Simd::queries;
    constexpr int V = Simd::vectors;
    constexpr int W = Simd::width;
    constexpr int step_lanes = V * W;
    QueryTile<Simd, weighted> tile;
    Candidates of[std::size_t{Q}];
    alignas(64) float buffer[std::size_t{Q}][head_blocks * block_lanes];
    alignas(64) float minima[std::size_t{Q}][rank_window + rank_slack];
    const std::int64_t block_floats = (book.d + 2) * block_lanes;
    // Twice as many streams as results at least, so that the bound is tight.
    const int classes = t <= 16 ? 1 : t <= 32 ? 2 : 4;
    const std::int64_t head = book.blocks < head_blocks ? book.blocks : head_blocks;

    for (std::int64_t first = 0; first < n; first += Q, x += Q * book.d) {
        const int count = static_cast<int>(n - first < Q ? n - first : Q);
        tile.load(x, w, count, book.d);
        if constexpr (weighted) w += Q * book.d;

        for (int c = 0; c < classes; ++c) {
            for (int lane = 0; lane < block_lanes; lane += step_lanes) {
                Scores<Simd> least;
#pragma GCC unroll 8
                for (int q = 0; q < Q; ++q) {
#pragma GCC unroll 8
                    for (int v = 0; v < V; ++v) least[q][v] = Simd::infinity();
                }
                for (std::int64_t b = c; b < head; b += classes) {
                    Scores<Simd> score;
                    score_step<Simd, weighted>(book.rows + b * block_floats + lane, book.d, tile,
                                               score);
                    float* to = buffer[0] + b * block_lanes + lane;
#pragma GCC unroll 8
                    for (int q = 0; q < Q; ++q) {
#pragma GCC unroll 8
                        for (int v = 0; v < V; ++v) {
                            Simd::store(to + q * head_blocks * block_lanes + v * W, score[q][v]);
                            least[q][v] = Simd::min(score[q][v], least[q][v]);
                        }
                    }
                }
#pragma GCC unroll 8
                for (int q = 0; q < Q; ++q) {
#pragma GCC unroll 8
                    for (int v = 0; v < V; ++v)
                        Simd::store(minima[q] + c * block_lanes + lane + v * W, least[q][v]);
                }
            }
        }
        if (head % (group_lanes / block_lanes) != 0) {  // the last group is half a one
            for (int q = 0; q < count; ++q)
                for (int s = 0; s < block_lanes; s += W)
                    Simd::store(buffer[q] + head * block_lanes + s, Simd::infinity());
        }
        for (int q = 0; q < count; ++q)
            collect<Simd>(buffer[q], static_cast<int>(head) * block_lanes, minima[q],
                          classes * block_lanes, t, of[q]);
        if (book.blocks > head) {
            for (int q = 0; q < count; ++q) keep_best<Simd>(of[q], t);
            for (int q = count; q < Q; ++q) {  // unused slots must never append
                of[q].threshold = -__builtin_inff();
                of[q].count = 0;
            }
        }
        const float* rows = book.rows + head * block_floats;
        for (std::int64_t b = head; b < book.blocks; ++b, rows += block_floats) {
            for (int lane = 0; lane < block_lanes; lane += step_lanes) {
                Scores<Simd> score;
                score_step<Simd, weighted>(rows + lane, book.d, tile, score);
#pragma GCC unroll 8
                for (int q = 0; q < Q; ++q) {
                    const auto limit = Simd::broadcast(&of[q].threshold);
#pragma GCC unroll 8
                    for (int v = 0; v < V; ++v) {
                        const auto hit = Simd::less(score[q][v], limit);
                        if (!Simd::any(hit)) [[likely]]
                            continue;
                        of[q].count = Simd::append(hit, score[q][v],
                                                   static_cast<int>(b * block_lanes + lane + v * W),
                                                   of[q].score, of[q].code, of[q].count);
                        if (of[q].count > rank_window - W) keep_best<Simd>(of[q], t);
                    }
                }
            }
        }
        for (int q = 0; q < count; ++q, codes += t) write_best<Simd>(of[q], t, codes);
    }
}

static_assert(head_blocks * block_lanes == 64 * group_lanes);

template <class Simd>
void nearest_entry(const BlockedCodebook& book, const float* x, const float* w, std::int64_t n,
                   std::uint32_t* codes) {
    if (w == nullptr)
        nearest_batch<Simd, false>(book, x, w, n, codes);
    else
        nearest_batch<Simd, true>(book, x, w, n, codes);
}

template <class Simd>
void nearest_t_entry(const BlockedCodebook& book, const float* x, const float* w, std::int64_t n,
                     int t, std::uint32_t* codes) {
    if (w == nullptr)
        nearest_t_batch<Simd, false>(book, x, w, n, t, codes);
    else
        nearest_t_batch<Simd, true>(book, x, w, n, t, codes);
}
