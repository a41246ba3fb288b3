/* Edges of the background are looked for in each frame: downhill from where they were, and where that fails from where
   the means of columns and rows fit best. Differences across edges are compared, so that light may change. */
#include "steady.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define CELL 12     /* pixels: one edge of each direction is taken from each cell */
#define REACH 24    /* pixels the camera may move */
#define EDGE 20     /* least difference across an edge */
#define CAP 40      /* a point that differs by more than this is covered by something */
#define POINTS_MIN 24

struct steady {
    int32_t width, height, count, dx, dy;
    int32_t usual; /* cost of a good match, times 16 */
    int32_t *before, *after;
    int16_t *rise;
    int32_t *columns, *rows, *now_columns, *now_rows;
};

static inline int32_t absolute(int32_t v) { return v < 0 ? -v : v; }

void steady_free(steady *s) { free(s); }

steady *steady_new(int32_t width, int32_t height) {
    size_t cells = (size_t)(width / CELL + 1) * (height / CELL + 1) * 2;
    size_t sides = (size_t)width + height;
    steady *s = calloc(1, sizeof *s + cells * (2 * sizeof(int32_t) + sizeof(int16_t)) + 2 * sides * sizeof(int32_t));
    if (!s) return NULL;
    s->width = width;
    s->height = height;
    s->before = (int32_t *)(s + 1);
    s->after = s->before + cells;
    s->columns = s->after + cells;
    s->rows = s->columns + width;
    s->now_columns = s->rows + height;
    s->now_rows = s->now_columns + width;
    s->rise = (int16_t *)(s->now_rows + height);
    return s;
}

/* Means of columns and rows: what is left of a picture when it is looked at from above and from the side. */
static void project(const steady *s, const uint8_t *luma, int32_t *columns, int32_t *rows) {
    memset(columns, 0, s->width * sizeof *columns);
    for (int32_t y = 0; y < s->height; y++) {
        const uint8_t *restrict row = luma + (size_t)y * s->width;
        int32_t sum = 0;
        for (int32_t x = 0; x < s->width; x++) {
            columns[x] += row[x];
            sum += row[x];
        }
        rows[y] = 16 * sum / s->width;
    }
    for (int32_t x = 0; x < s->width; x++) columns[x] = 16 * columns[x] / s->height;
}

void steady_learn(steady *s, const uint8_t *luma, const uint8_t *noise) {
    const int32_t w = s->width, h = s->height, edge = REACH + 2;
    s->count = 0;
    for (int32_t top = edge; top < h - edge; top += CELL)
        for (int32_t left = edge; left < w - edge; left += CELL)
            for (int direction = 0; direction < 2; direction++) {
                const int32_t step = direction ? w : 1;
                int32_t best = EDGE - 1, at = 0;
                for (int32_t y = top; y < top + CELL && y < h - edge; y++)
                    for (int32_t x = left; x < left + CELL && x < w - edge; x++) {
                        const int32_t i = y * w + x;
                        int32_t rise = absolute(luma[i + step] - luma[i - step]);
                        if (noise) rise -= 3 * (noise[i + step] > noise[i - step] ? noise[i + step] : noise[i - step]);
                        if (rise > best) {
                            best = rise;
                            at = i;
                        }
                    }
                if (!at) continue;
                s->before[s->count] = at - step;
                s->after[s->count] = at + step;
                s->rise[s->count++] = (int16_t)(luma[at + step] - luma[at - step]);
            }
    project(s, luma, s->columns, s->rows);
    s->usual = 16 * 4 * s->count;
}

static int32_t cost(const steady *s, const uint8_t *luma, int32_t dx, int32_t dy) {
    const uint8_t *moved = luma + (ptrdiff_t)dy * s->width + dx;
    int32_t sum = 0;
    for (int32_t i = 0; i < s->count; i++) {
        int32_t off = absolute(moved[s->after[i]] - moved[s->before[i]] - s->rise[i]);
        sum += off < CAP ? off : CAP;
    }
    return sum;
}

/* Downhill from (x, y), a pixel at a time. */
static int32_t descend(const steady *s, const uint8_t *luma, int32_t *x, int32_t *y) {
    int32_t least = cost(s, luma, *x, *y);
    for (int moves = 0; moves < 2 * REACH; moves++) {
        int32_t bx = *x, by = *y;
        for (int32_t dy = -1; dy <= 1; dy++)
            for (int32_t dx = -1; dx <= 1; dx++) {
                if ((!dx && !dy) || absolute(*x + dx) > REACH || absolute(*y + dy) > REACH) continue;
                int32_t c = cost(s, luma, *x + dx, *y + dy);
                if (c < least) {
                    least = c;
                    bx = *x + dx;
                    by = *y + dy;
                }
            }
        if (bx == *x && by == *y) break;
        *x = bx;
        *y = by;
    }
    return least;
}

/* The shift at which the slopes of two projections agree best. */
static int32_t slide(const int32_t *was, const int32_t *now, int32_t length) {
    int32_t best = 0;
    int64_t least = INT64_MAX;
    for (int32_t d = -REACH; d <= REACH; d++) {
        int64_t sum = 0;
        for (int32_t i = REACH + 1; i < length - REACH - 1; i++)
            sum += absolute((now[i + d + 1] - now[i + d - 1]) - (was[i + 1] - was[i - 1]));
        if (sum < least || (sum == least && absolute(d) < absolute(best))) {
            least = sum;
            best = d;
        }
    }
    return best;
}

void steady_find(steady *s, const uint8_t *luma, int32_t *dx, int32_t *dy) {
    *dx = *dy = 0;
    if (s->count < POINTS_MIN) return;
    const int32_t still = cost(s, luma, 0, 0);
    int32_t least = descend(s, luma, &s->dx, &s->dy);
    if (least > s->usual / 16 * 3 / 2) {
        project(s, luma, s->now_columns, s->now_rows);
        int32_t x = slide(s->columns, s->now_columns, s->width), y = slide(s->rows, s->now_rows, s->height);
        int32_t other = descend(s, luma, &x, &y);
        if (other < least) {
            least = other;
            s->dx = x;
            s->dy = y;
        }
        x = y = 0;
        other = descend(s, luma, &x, &y);
        if (other < least) {
            least = other;
            s->dx = x;
            s->dy = y;
        }
    }
    s->usual += (16 * least - s->usual) / 16;
    if ((s->dx || s->dy) && 8 * (int64_t)least >= 7 * (int64_t)still) s->dx = s->dy = 0;
    *dx = s->dx;
    *dy = s->dy;
}
