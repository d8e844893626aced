/* SPDX-License-Identifier: Apache-2.0 */
/* How another engine uses packed weights: this program needs libvqkit_decode and nothing else of
 * vqkit. It maps a packed file (`vq export --to packed`), lists its tensors, and multiplies each that
 * is quantized with a vector, in the fast mode and in the exact one.
 *
 *     embed MODEL.vqp          prints a line a tensor; exit code 1 when the two modes are far apart
 */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "decode/vqkit_decode.h"

/* The smallest thread pool that serves: two threads that draw tasks from a counter. A real engine
 * hands over its own pool here. */
struct job {
    vqd_task task;
    void* context;
    size_t count;
    atomic_size_t next;
};

static void* work(void* argument) {
    struct job* job = argument;
    for (;;) {
        const size_t i = atomic_fetch_add(&job->next, 1);
        if (i >= job->count) return NULL;
        job->task(job->context, i);
    }
}

static void parallel_for(void* pool, size_t count, vqd_task task, void* context) {
    (void)pool;
    struct job job = {task, context, count, 0};
    pthread_t helper;
    const int alone = pthread_create(&helper, NULL, work, &job);
    work(&job);
    if (!alone) pthread_join(helper, NULL);
}

/* |a - b|^2 / |b|^2 */
static double relative_error(const float* a, const float* b, int64_t n) {
    double error = 0;
    double size = 0;
    for (int64_t i = 0; i < n; ++i) {
        error += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return size > 0 ? error / size : error;
}

static int check_tensor(const vqd_file* file, size_t tensor, const vqd_tensor_info* info) {
    const size_t bytes = vqd_scratch_bytes(file, tensor, 1);
    float* x = malloc((size_t)info->cols * sizeof(float));
    float* fast = malloc((size_t)info->rows * sizeof(float));
    float* exact = malloc((size_t)info->rows * sizeof(float));
    void* scratch = malloc(bytes);
    int failed = 1;
    if (x != NULL && fast != NULL && exact != NULL && scratch != NULL) {
        const vqd_threads threads = {parallel_for, NULL};
        for (int64_t i = 0; i < info->cols; ++i) x[i] = (float)sin(0.7 * (double)(i + 1));
        if (vqd_matvec(file, tensor, VQD_INT8, x, fast, scratch, bytes, &threads) == VQD_OK &&
            vqd_matvec(file, tensor, VQD_EXACT, x, exact, scratch, bytes, NULL) == VQD_OK) {
            const double error = relative_error(fast, exact, info->rows);
            printf("%.*s: %lld x %lld, %s, %.3f bits, error of int8 activations %.1e\n",
                   (int)info->name_bytes, info->name, (long long)info->rows, (long long)info->cols,
                   info->code, info->bits_per_weight, error);
            failed = error > 1e-2;
        }
    }
    free(scratch);
    free(exact);
    free(fast);
    free(x);
    return failed;
}

static int is_dense(const char* code) {
    return strcmp(code, "f32") == 0 || strcmp(code, "f16") == 0 || strcmp(code, "bf16") == 0;
}

int main(int argc, char** argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: embed MODEL.vqp\n");
        return 2;
    }
    const int fd = open(argv[1], O_RDONLY);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0 || status.st_size == 0) {
        fprintf(stderr, "cannot open %s\n", argv[1]);
        return 1;
    }
    const size_t bytes = (size_t)status.st_size;
    void* data = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (data == MAP_FAILED) {
        fprintf(stderr, "cannot map %s\n", argv[1]);
        return 1;
    }
    vqd_file* file = NULL;
    char message[256];
    if (vqd_open(data, bytes, &file, message, sizeof(message)) != VQD_OK) {
        fprintf(stderr, "%s: %s\n", argv[1], message);
        munmap(data, bytes);
        return 1;
    }
    int failed = 0;
    int quantized = 0;
    for (size_t i = 0; i < vqd_tensor_count(file); ++i) {
        vqd_tensor_info info;
        if (vqd_tensor(file, i, &info) != VQD_OK) return 1;
        if (is_dense(info.code)) continue;
        ++quantized;
        failed += check_tensor(file, i, &info);
    }
    printf("%d quantized tensors on %s, %d of them wrong\n", quantized, vqd_isa(file), failed);
    vqd_close(file);
    munmap(data, bytes);
    return failed != 0 || quantized == 0;
}
