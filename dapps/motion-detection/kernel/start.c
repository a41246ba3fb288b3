/* The first background: the temporal median of samples, which are aligned first where the camera shakes. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#define SEEN_MEDIAN 200 /* weight of the colour the model starts with */
#define BLOCK 1024      /* pixels whose medians are found together */

int32_t motion_begin(motion *m, int32_t count) {
    free(m->samples);
    m->sampled = 0;
    m->sample_count = count;
    m->samples = count > 0 && count < 256 ? malloc((size_t)m->width * m->height * 3 * count) : NULL;
    return m->samples != NULL;
}

void motion_sample(motion *m, const motion_frame *frame) {
    size_t n = (size_t)m->width * m->height;
    if (!m->samples || m->sampled >= m->sample_count) return;
    uint8_t *to = m->samples + n * 3 * m->sampled++;
    motion_load(m, frame, 0, 0, to, to + n, to + 2 * n);
}

/* The lower median of `count` bytes (at most 255) for each of `n` pixels, found bit by bit from the top: the largest
   value that no more than (count - 1) / 2 of the bytes are below. `rows` holds the bytes, `stride` apart. */
static void median(const uint8_t *rows, size_t stride, int32_t count, int32_t n, uint8_t *middle) {
    memset(middle, 0, n);
    for (int bit = 128; bit; bit >>= 1) {
        uint8_t below[BLOCK] = {0};
        for (int32_t s = 0; s < count; s++) {
            const uint8_t *restrict row = rows + stride * s;
            for (int32_t i = 0; i < n; i++) below[i] = (uint8_t)(below[i] + (row[i] < (uint8_t)(middle[i] | bit)));
        }
        for (int32_t i = 0; i < n; i++) middle[i] = (uint8_t)(middle[i] | (below[i] <= (count - 1) / 2 ? bit : 0));
    }
}

/* Move a plane in place. */
static void move_plane(const motion *m, uint8_t *plane, int32_t dx, int32_t dy) {
    const int32_t w = m->width, h = m->height;
    for (int32_t k = 0; k < h; k++) {
        const int32_t row = dy < 0 ? h - 1 - k : k, source = within(row + dy, h - 1);
        memcpy(m->line, plane + (size_t)w * source, w);
        motion_move_row(m->line, plane + (size_t)w * row, w, dx);
    }
}

static int compare(const void *a, const void *b) { return *(const int32_t *)a - *(const int32_t *)b; }

/* Samples of a shaken camera are brought to the middle of their places. */
static void align(motion *m) {
    const size_t n = (size_t)m->width * m->height;
    int32_t dx[256], dy[256], sorted[256];
    steady_learn(m->steady, m->samples, NULL);
    for (int32_t s = 0; s < m->sampled; s++) steady_find(m->steady, m->samples + 3 * n * s, &dx[s], &dy[s]);
    memcpy(sorted, dx, sizeof dx);
    qsort(sorted, m->sampled, sizeof *sorted, compare);
    const int32_t middle_x = sorted[m->sampled / 2];
    memcpy(sorted, dy, sizeof dy);
    qsort(sorted, m->sampled, sizeof *sorted, compare);
    const int32_t middle_y = sorted[m->sampled / 2];
    for (int32_t s = 0; s < m->sampled; s++)
        for (int c = 0; c < 3; c++)
            if (dx[s] != middle_x || dy[s] != middle_y)
                move_plane(m, m->samples + n * (3 * s + c), dx[s] - middle_x, dy[s] - middle_y);
}

/* Show the background to the steadier. */
void motion_hold(motion *m) {
    size_t n = (size_t)m->width * m->height;
    for (size_t i = 0; i < n; i++) m->still[i] = (uint8_t)(m->y[0][i] >> 8);
    for (size_t i = 0; i < n; i++) m->raw[i] = (uint8_t)(m->deviation[i] >> 8);
    steady_learn(m->steady, m->still, m->raw);
}

void motion_learn(motion *m) {
    size_t n = (size_t)m->width * m->height;
    int32_t count = m->sampled;
    if (!m->samples || count < 1) return;
    align(m);
    for (size_t at = 0; at < n; at += BLOCK) {
        int32_t size = n - at < BLOCK ? (int32_t)(n - at) : BLOCK;
        uint8_t middle[BLOCK];
        for (int c = 0; c < 3; c++) {
            uint16_t *to = (c == 0 ? m->y[0] : c == 1 ? m->cb[0] : m->cr[0]) + at;
            uint8_t *from = m->samples + n * c + at;
            median(from, 3 * n, count, size, middle);
            for (int32_t i = 0; i < size; i++) to[i] = (uint16_t)(middle[i] << 8);
            if (c) continue;
            for (int32_t s = 0; s < count; s++) {
                uint8_t *restrict row = from + 3 * n * s;
                for (int32_t i = 0; i < size; i++) row[i] = (uint8_t)absolute(row[i] - middle[i]);
            }
            median(from, 3 * n, count, size, middle);
            for (int32_t i = 0; i < size; i++) m->deviation[at + i] = (uint16_t)within(middle[i] << 8, DEVIATION_MAX);
        }
    }
    for (int k = 0; k < COLOURS; k++) memset(m->seen[k], k ? 0 : SEEN_MEDIAN, n);
    free(m->samples);
    m->samples = NULL;
    motion_hold(m);
}

void motion_restart(motion *m) {
    size_t n = (size_t)m->width * m->height;
    for (size_t i = 0; i < n; i++) {
        m->y[0][i] = (uint16_t)(m->now_y[i] << 8);
        m->cb[0][i] = (uint16_t)(m->now_cb[i] << 8);
        m->cr[0][i] = (uint16_t)(m->now_cr[i] << 8);
        m->deviation[i] = 0;
    }
    for (int k = 0; k < COLOURS; k++) memset(m->seen[k], k ? 0 : SEEN_MEDIAN, n);
    motion_hold(m);
}

