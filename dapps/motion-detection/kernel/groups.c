/* The mask's last filter, and the groups of its pixels. */
#include "model.h"

#include <string.h>

#define RADIUS 4 /* of the binary median */

/* Binary median of 9 x 9, cut at the borders: 1 where more than half of the window is. */
int32_t motion_median(motion *m, const uint8_t *in, uint8_t *out) {
    int32_t w = m->width, h = m->height, count = 0;
    uint8_t *restrict sums = m->columns + PAD;
    memset(m->columns, 0, (size_t)w + 2 * PAD);
    for (int32_t y = -RADIUS; y < h; y++) {
        if (y + RADIUS < h) {
            const uint8_t *restrict row = in + (size_t)(y + RADIUS) * w;
            for (int32_t x = 0; x < w; x++) sums[x] = (uint8_t)(sums[x] + row[x]);
        }
        if (y - RADIUS - 1 >= 0) {
            const uint8_t *restrict row = in + (size_t)(y - RADIUS - 1) * w;
            for (int32_t x = 0; x < w; x++) sums[x] = (uint8_t)(sums[x] - row[x]);
        }
        if (y < 0) continue;
        int32_t rows = (y < RADIUS ? y : RADIUS) + 1 + (h - 1 - y < RADIUS ? h - 1 - y : RADIUS);
        uint8_t *restrict to = out + (size_t)y * w;
        const uint8_t half = (uint8_t)(rows * (2 * RADIUS + 1) / 2);
        for (int32_t x = 0; x < w; x++) {
            uint8_t s = 0;
            for (int32_t d = -RADIUS; d <= RADIUS; d++) s = (uint8_t)(s + sums[x + d]);
            to[x] = s > half;
        }
        for (int32_t x = 0; x < w; x++) { /* the window is narrower at both ends of the row */
            if (x == RADIUS && w > 2 * RADIUS) x = w - RADIUS;
            int32_t s = 0, columns = (x < RADIUS ? x : RADIUS) + 1 + (w - 1 - x < RADIUS ? w - 1 - x : RADIUS);
            for (int32_t d = -RADIUS; d <= RADIUS; d++) s += sums[x + d];
            to[x] = 2 * s > rows * columns;
        }
        for (int32_t x = 0; x < w; x++) count += to[x];
    }
    return count;
}

static int32_t root(int32_t *parents, int32_t run) {
    while (parents[run] != run) run = parents[run] = parents[parents[run]];
    return run;
}

int32_t motion_blobs(motion *m, const uint8_t *mask, int32_t min_area, motion_blob *blobs, int32_t room) {
    int32_t count = 0, above = 0, above_end = 0, found = 0;
    int32_t *parents = m->parents;
    motion_blob *runs = m->runs;
    for (int32_t y = 0; y < m->height; y++) {
        const uint8_t *row = mask + (size_t)y * m->width;
        int32_t first = count;
        for (int32_t x = 0; x < m->width; x++) {
            if (!row[x]) continue;
            int32_t start = x;
            while (x < m->width && row[x]) x++;
            runs[count] = (motion_blob){start, y, x, y + 1, x - start};
            parents[count] = count;
            while (above < above_end && runs[above].x1 < start) above++;
            for (int32_t a = above; a < above_end && runs[a].x0 <= x; a++) {
                int32_t one = root(parents, a), two = root(parents, count);
                parents[one > two ? one : two] = one > two ? two : one; /* a root is the first of its runs */
            }
            count++;
        }
        above = first;
        above_end = count;
    }
    for (int32_t i = 0; i < count; i++) {
        int32_t to = root(parents, i);
        if (to == i) continue;
        motion_blob *b = &runs[to];
        if (runs[i].x0 < b->x0) b->x0 = runs[i].x0;
        if (runs[i].x1 > b->x1) b->x1 = runs[i].x1;
        if (runs[i].y1 > b->y1) b->y1 = runs[i].y1;
        b->area += runs[i].area;
    }
    for (int32_t i = 0; i < count && found < room; i++)
        if (parents[i] == i && runs[i].area >= min_area) blobs[found++] = runs[i];
    return found;
}

void motion_pack(const motion *m, const uint8_t *mask, uint8_t *bits) {
    for (int32_t y = 0; y < m->height; y++)
        for (int32_t x = 0; x < m->width; x += 8) {
            uint8_t byte = 0;
            for (int32_t k = 0; k < 8 && x + k < m->width; k++)
                byte = (uint8_t)(byte | (mask[(size_t)y * m->width + x + k] != 0) << (7 - k));
            *bits++ = byte;
        }
}
