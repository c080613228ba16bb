/* Embedding∘convolution folded into a table, with the global maximum over positions, forwards and backwards: one thread, so
   the same input gives the same bits. `table` is [features/BLOCK][vocabulary][width][BLOCK], so that one block stays in the
   first-level cache. Windows start at -left … min(length, positions - width); what lies before the URL adds nothing, and all
   windows past its end see padding only, so one of them stands for all. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

enum { LANES = 16, BLOCK = 2 * LANES };

typedef float floats __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t ints __attribute__((vector_size(4 * LANES), aligned(4)));

#define INLINE static inline __attribute__((always_inline))

INLINE void keep(floats sum, int p, floats *best, ints *place) {
    ints more = sum > *best;
    *place = (more & ((ints){0} + p)) | (~more & *place);
    *best = (floats)((more & (ints)sum) | (~more & (ints)*best));
}

INLINE void forward_row(const int width, const float *restrict table, const uint8_t *ids, int length, int positions, int left,
                        float *restrict most, int32_t *restrict where) {
    int last = length < positions - width ? length : positions - width;
    floats best0 = (floats){0} - INFINITY, best1 = best0;
    ints place0 = {0}, place1 = {0};
    for (int p = -left; p <= last; p++) {
        floats sum0 = {0}, sum1 = {0};
        for (int k = p < 0 ? -p : 0; k < width; k++) {
            const float *row = table + ((size_t)ids[p + k] * width + k) * BLOCK;
            sum0 += *(const floats *)row;
            sum1 += *(const floats *)(row + LANES);
        }
        keep(sum0, p, &best0, &place0);
        keep(sum1, p, &best1, &place1);
    }
    *(floats *)most = best0, *(floats *)(most + LANES) = best1;
    *(ints *)where = place0, *(ints *)(where + LANES) = place1;
}

void forward(int rows, int vocabulary, int width, int features, const float *table, const uint8_t *ids, const int32_t *lengths,
             int positions, int left, float *most, int32_t *where) {
    for (int b = 0; b < features; b += BLOCK) {
        const float *part = table + (size_t)b * vocabulary * width;
        for (int r = 0; r < rows; r++) {
            const uint8_t *row = ids + (size_t)r * positions;
            float *m = most + (size_t)r * features + b;
            int32_t *w = where + (size_t)r * features + b;
            if (width == 8 && left == 0)
                forward_row(8, part, row, lengths[r], positions, 0, m, w);
            else
                forward_row(width, part, row, lengths[r], positions, left, m, w);
        }
    }
}

/* Adds the gradient of the table: only the window that was the maximum has one. */
void backward(int rows, int width, int features, float *restrict gradient, const uint8_t *ids, int positions, const float *restrict most,
              const int32_t *restrict where) {
    for (int r = 0; r < rows; r++) {
        const uint8_t *row = ids + (size_t)r * positions;
        const float *m = most + (size_t)r * features;
        const int32_t *w = where + (size_t)r * features;
        for (int f = 0; f < features; f++) {
            if (m[f] == 0) continue;
            for (int k = 0; k < width; k++)
                if (w[f] + k >= 0) gradient[((size_t)row[w[f] + k] * width + k) * features + f] += m[f];
        }
    }
}

/* AdamW (Loshchilov & Hutter 2019) in place; `step` counts from 1. */
void adamw(int count, float *restrict weights, const float *restrict gradient, float *restrict first, float *restrict second, int step,
           float rate, float decay) {
    const float b1 = 0.9f, b2 = 0.999f, c1 = 1 - powf(b1, step), c2 = 1 - powf(b2, step);
    for (int i = 0; i < count; i++) {
        first[i] = b1 * first[i] + (1 - b1) * gradient[i];
        second[i] = b2 * second[i] + (1 - b2) * gradient[i] * gradient[i];
        weights[i] -= rate * (first[i] / c1 / (sqrtf(second[i] / c2) + 1e-8f) + decay * weights[i]);
    }
}
