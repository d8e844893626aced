/* SPDX-License-Identifier: Apache-2.0 */
/* vqkit::decode, the C interface: products with tensors of a packed file that lies in memory (made
 * by `vq export --to packed`, described in docs/packed-format.md). It reads nothing but that
 * memory, allocates only in vqd_open, starts no threads, prints nothing, throws nothing. All
 * functions but vqd_open and vqd_close may be called from any number of threads at once, each with
 * its own scratch.
 */
#ifndef VQKIT_DECODE_H
#define VQKIT_DECODE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* NOLINTBEGIN(readability-identifier-naming): names as C has them */

#define VQD_API __attribute__((visibility("default")))

/* The version of this header; until 1.0.0 a new minor version may change the interface. */
#define VQD_VERSION_MAJOR 0
#define VQD_VERSION_MINOR 1
#define VQD_VERSION_PATCH 0
#define VQD_VERSION (VQD_VERSION_MAJOR * 10000 + VQD_VERSION_MINOR * 100 + VQD_VERSION_PATCH)

/* VQD_VERSION of the library that runs. */
VQD_API int vqd_version(void);

typedef struct vqd_file vqd_file;

typedef enum vqd_status {
    VQD_OK = 0,
    VQD_BAD_ARGUMENT = 1, /* a null pointer, an index out of range, too little scratch */
    VQD_BAD_FILE = 2,     /* the memory does not hold a packed file, or a damaged one */
    VQD_NO_MEMORY = 3,
    VQD_BAD_ISA = 4 /* VQ_ISA names an instruction set that is unknown or not there */
} vqd_status;

/* Opens the `bytes` bytes at `data`, which must be aligned to 64 bytes (mapped files are) and stay
 * until vqd_close. Everything in the file is checked here. On failure *file is null and `message`
 * (may be null; up to message_bytes with the final zero) says in a line what is wrong. */
VQD_API vqd_status vqd_open(const void* data, size_t bytes, vqd_file** file, char* message,
                            size_t message_bytes);
VQD_API void vqd_close(vqd_file* file); /* null is allowed */

/* "scalar", "avx2", "avx512vnni", "amx": what the kernels use. VQ_ISA=scalar|avx2|avx512|amx lowers
 * it. On a processor with AMX the first vqd_open asks Linux for the state of tiles (8 KB a thread
 * that uses them), for the whole process; where that is refused "avx512vnni" is taken. */
VQD_API const char* vqd_isa(const vqd_file* file);

typedef struct vqd_tensor_info {
    const char* name; /* not terminated */
    size_t name_bytes;
    int64_t rows, cols; /* W has the shape (outputs, inputs) */
    const char* code; /* "lut", "table", "trellis", "e8p", "grid", "bytes", "f32", "f16", "bf16" */
    uint64_t bytes;   /* all that is stored for it but shared codebooks */
    double bits_per_weight;
} vqd_tensor_info;

VQD_API size_t vqd_tensor_count(const vqd_file* file);
VQD_API vqd_status vqd_tensor(const vqd_file* file, size_t tensor, vqd_tensor_info* info);
/* Finds a tensor by name (terminated); VQD_BAD_ARGUMENT when there is none. */
VQD_API vqd_status vqd_find(const vqd_file* file, const char* name, size_t* tensor);

/* Files of the model that travel along: "config.json", "tokenizer.json", ... */
typedef struct vqd_blob_info {
    const char* name; /* not terminated */
    size_t name_bytes;
    const void* data;
    size_t bytes;
} vqd_blob_info;
VQD_API size_t vqd_blob_count(const vqd_file* file);
VQD_API vqd_status vqd_blob(const vqd_file* file, size_t blob, vqd_blob_info* info);

/* The caller's threads: parallel_for calls task(context, i) for every i < n, in any order and on
 * any threads, and returns when all are done. A null vqd_threads, or a null parallel_for, means
 * serial. Results do not depend on it. */
typedef void (*vqd_task)(void* context, size_t i);
typedef struct vqd_threads {
    void (*parallel_for)(void* pool, size_t n, vqd_task task, void* context);
    void* pool;
} vqd_threads;

typedef enum vqd_mode {
    VQD_INT8 = 0, /* activations rounded to 8 bits a group, integer sums: fast */
    VQD_EXACT = 1 /* weights decoded to fp32, fp32 sums: for checking */
} vqd_mode;

/* Scratch that vqd_matmul needs for this tensor and up to `batch` vectors (vqd_matvec: 1). Batches
 * of more than 512 are cut into such, and need no more. 0: no such tensor. */
VQD_API size_t vqd_scratch_bytes(const vqd_file* file, size_t tensor, size_t batch);
VQD_API size_t vqd_dequantize_scratch_bytes(const vqd_file* file, size_t tensor);

/* y (rows) = W x, x (cols). */
VQD_API vqd_status vqd_matvec(const vqd_file* file, size_t tensor, vqd_mode mode, const float* x,
                              float* y, void* scratch, size_t scratch_bytes,
                              const vqd_threads* threads);
/* y (batch, rows) = x (batch, cols) W^T, both row-major. Large batches with VQD_INT8 round weights
 * to 8 bits too, a scale a row and 128 columns (an error of 5e-5 of the weights' variance): results
 * then differ slightly from those of vqd_matvec. Scalar grids and E8P codes of 2 bits need no
 * rounding and give the same bits (but for scales a group of columns). */
VQD_API vqd_status vqd_matmul(const vqd_file* file, size_t tensor, vqd_mode mode, const float* x,
                              size_t batch, float* y, void* scratch, size_t scratch_bytes,
                              const vqd_threads* threads);
/* y[i] = W_i x for several tensors of as many columns each, as queries, keys and values of a layer:
 * the same results as of vqd_matvec one by one, with fewer waits of threads for each other.
 * vqd_matvecs_scratch_bytes is 0 where a tensor is missing or has other columns. */
VQD_API size_t vqd_matvecs_scratch_bytes(const vqd_file* file, const size_t* tensors, size_t count);
VQD_API vqd_status vqd_matvecs(const vqd_file* file, const size_t* tensors, size_t count,
                               vqd_mode mode, const float* x, float* const* y, void* scratch,
                               size_t scratch_bytes, const vqd_threads* threads);
/* out (count, cols) = rows [row, row + count) of W. Costs `rows` decoded rows for every 16 where
 * the outputs are rotated. */
VQD_API vqd_status vqd_dequantize_rows(const vqd_file* file, size_t tensor, int64_t row,
                                       int64_t count, float* out, void* scratch,
                                       size_t scratch_bytes);

/* NOLINTEND(readability-identifier-naming) */

#ifdef __cplusplus
}
#endif

#endif
