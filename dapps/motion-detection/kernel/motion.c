/* Background model: each pixel keeps up to three colours, in fixed point, each with the time it has been seen; a colour
   seen long enough is background (an integer relative of Stauffer and Grimson's mixtures, CVPR 1999, with a temporal
   median to start from and a mean absolute deviation for the noise). What differs is then filtered: pixels that match a
   neighbour's background (shaken camera, leaves), soft shadows, and last a binary median of 9 x 9. */
#include "motion.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define COLOURS 3
#define RATE 5          /* a matched colour moves 1/32 of the way */
#define SEEN_MEDIAN 200 /* weight of the colour the model starts with */
#define SEEN_MAX 250
#define SEEN_BACKGROUND 20
#define LUMA_MAX (40 << 8)
#define RADIUS 4        /* of the binary median */
#define PAD 16
#define BLOCK 1024 /* pixels whose medians are found together */
#define MAX_SIDE 8192

struct motion {
    int32_t width, height, tick;
    uint32_t time;
    motion_settings set;
    uint16_t *y[COLOURS], *cb[COLOURS], *cr[COLOURS]; /* 8.8 fixed point */
    uint8_t *seen[COLOURS];
    uint16_t *deviation;                              /* 8.8, of the first colour */
    uint8_t *now_y, *now_cb, *now_cr, *raw, *hit, *region;
    uint8_t *columns;                                 /* column sums of the median, padded */
    uint8_t *samples;
    int32_t sample_count, sampled;
    int32_t *parents;                                 /* of the runs of moving pixels: a union-find forest */
    motion_blob *runs;
};

static inline int32_t absolute(int32_t v) { return v < 0 ? -v : v; }
static inline uint16_t distance(uint16_t a, uint16_t b) { return a > b ? a - b : b - a; }

void motion_free(motion *m) {
    if (m) free(m->samples);
    free(m);
}

/* Bounds that keep the 16-bit arithmetic from running over. */
static int32_t within(int32_t value, int32_t most) { return value < 0 ? 0 : value > most ? most : value; }

/* The next `bytes` of the one piece of memory a model lives in. */
static void *take(uint8_t **at, size_t bytes) {
    uint8_t *start = *at;
    *at += (bytes + 63) / 64 * 64;
    return start;
}

motion *motion_new(int32_t width, int32_t height, const motion_settings *settings) {
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE) return NULL;
    size_t n = (size_t)width * height, runs = ((size_t)width / 2 + 1) * height;
    size_t padded = (size_t)width + 2 * PAD, pieces = 7 * COLOURS + 16;
    size_t bytes = n * (7 * COLOURS + 8) + runs * (sizeof(int32_t) + sizeof(motion_blob)) + padded + 64 * pieces;
    uint8_t *at = calloc(1, sizeof(motion) + bytes);
    if (!at) return NULL;
    motion *m = take(&at, sizeof *m);
    m->width = width;
    m->height = height;
    m->set = *settings;
    m->set.luma = within(m->set.luma, 64);
    m->set.chroma = within(m->set.chroma, 64);
    m->set.noise = within(m->set.noise, 8);
    m->set.neighbour = within(m->set.neighbour, 64);
    m->set.shadow = within(m->set.shadow, 256);
    m->tick = m->set.absorb / SEEN_BACKGROUND > 1 ? m->set.absorb / SEEN_BACKGROUND : 1;
    for (int k = 0; k < COLOURS; k++) {
        m->y[k] = take(&at, 2 * n);
        m->cb[k] = take(&at, 2 * n);
        m->cr[k] = take(&at, 2 * n);
        m->seen[k] = take(&at, n);
    }
    m->deviation = take(&at, 2 * n);
    m->now_y = take(&at, n);
    m->now_cb = take(&at, n);
    m->now_cr = take(&at, n);
    m->raw = take(&at, n);
    m->hit = take(&at, n);
    m->region = take(&at, n);
    m->columns = take(&at, padded);
    m->parents = take(&at, runs * sizeof *m->parents);
    m->runs = take(&at, runs * sizeof *m->runs);
    memset(m->region, 1, n);
    return m;
}

void motion_region(motion *m, const uint8_t *region) { memcpy(m->region, region, (size_t)m->width * m->height); }

/* A row of chroma at the width of luma. */
static void widen(const uint8_t *restrict from, uint8_t *restrict to, int32_t width, int32_t shift) {
    int32_t x = 0;
    if (shift == 1)
        for (; x + 1 < width; x += 2) to[x] = to[x + 1] = from[x >> 1];
    for (; x < width; x++) to[x] = from[x >> shift];
}

/* Bring luma and chroma to one resolution. */
static void load(const motion *m, const motion_frame *f, uint8_t *y, uint8_t *cb, uint8_t *cr) {
    size_t w = (size_t)m->width;
    for (int32_t row = 0; row < m->height; row++) {
        size_t to = w * row, from = (size_t)(row >> f->y_shift) * f->c_stride;
        memcpy(y + to, f->y + (size_t)row * f->y_stride, w);
        if (row && row >> f->y_shift == (row - 1) >> f->y_shift) {
            memcpy(cb + to, cb + to - w, w);
            memcpy(cr + to, cr + to - w, w);
        } else {
            widen(f->cb + from, cb + to, m->width, f->x_shift);
            widen(f->cr + from, cr + to, m->width, f->x_shift);
        }
    }
}

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
    load(m, frame, to, to + n, to + 2 * n);
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

void motion_learn(motion *m) {
    size_t n = (size_t)m->width * m->height;
    int32_t count = m->sampled;
    if (!m->samples || count < 1) return;
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
            for (int32_t i = 0; i < size; i++) m->deviation[at + i] = (uint16_t)(middle[i] << 8);
        }
    }
    for (int k = 0; k < COLOURS; k++) memset(m->seen[k], k ? 0 : SEEN_MEDIAN, n);
    free(m->samples);
    m->samples = NULL;
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
}

static inline uint16_t tolerance(const motion *m, uint16_t deviation) {
    int32_t t = (m->set.luma << 8) + m->set.noise * deviation;
    return (uint16_t)(t < LUMA_MAX ? t : LUMA_MAX);
}

/* The first colour, which fits most pixels: written so that compilers make vectors of it. */
static void match_first(motion *m) {
    size_t n = (size_t)m->width * m->height;
    uint16_t *restrict y0 = m->y[0], *restrict cb0 = m->cb[0], *restrict cr0 = m->cr[0], *restrict dev = m->deviation;
    const uint8_t *restrict y = m->now_y, *restrict cb = m->now_cb, *restrict cr = m->now_cr;
    uint8_t *restrict raw = m->raw;
    const uint16_t base = (uint16_t)(m->set.luma << 8), tc = (uint16_t)(m->set.chroma << 8);
    const uint16_t noise = (uint16_t)m->set.noise, dev_max = LUMA_MAX / 4;
    for (size_t i = 0; i < n; i++) {
        uint16_t vy = (uint16_t)(y[i] << 8), vb = (uint16_t)(cb[i] << 8), vr = (uint16_t)(cr[i] << 8);
        uint16_t ty = (uint16_t)(base + noise * dev[i]);
        ty = ty < LUMA_MAX ? ty : LUMA_MAX;
        uint16_t dy = distance(vy, y0[i]), db = distance(vb, cb0[i]), dr = distance(vr, cr0[i]);
        /* all ones where it matches; differences of matches fit 15 bits and a sign */
        uint16_t fits = (uint16_t) - (uint16_t)((dy <= ty) & (db <= tc) & (dr <= tc));
        int16_t ey = (int16_t)((uint16_t)(vy - y0[i]) & fits), eb = (int16_t)((uint16_t)(vb - cb0[i]) & fits);
        int16_t er = (int16_t)((uint16_t)(vr - cr0[i]) & fits), ed = (int16_t)((uint16_t)(dy - dev[i]) & fits);
        y0[i] = (uint16_t)(y0[i] + (ey >> RATE));
        cb0[i] = (uint16_t)(cb0[i] + (eb >> RATE));
        cr0[i] = (uint16_t)(cr0[i] + (er >> RATE));
        uint16_t d = (uint16_t)(dev[i] + (ed >> RATE));
        dev[i] = d < dev_max ? d : dev_max;
        raw[i] = (uint8_t)(fits & 1) ^ 1;
    }
}

static inline void swap16(uint16_t *a, uint16_t *b, size_t i) {
    uint16_t t = a[i];
    a[i] = b[i];
    b[i] = t;
}

/* The other colours, for the pixels the first does not fit. */
static void match_others(motion *m) {
    size_t n = (size_t)m->width * m->height;
    const uint16_t tc = (uint16_t)(m->set.chroma << 8);
    memset(m->hit, 0, n);
    for (size_t i = 0; i < n; i++) {
        if (!m->raw[i]) continue;
        uint16_t vy = (uint16_t)(m->now_y[i] << 8), ty = tolerance(m, m->deviation[i]);
        uint16_t vb = (uint16_t)(m->now_cb[i] << 8), vr = (uint16_t)(m->now_cr[i] << 8);
        int k = 1;
        while (k < COLOURS && !(m->seen[k][i] && distance(vy, m->y[k][i]) <= ty && distance(vb, m->cb[k][i]) <= tc &&
                                distance(vr, m->cr[k][i]) <= tc))
            k++;
        if (k == COLOURS) { /* new: in the place of the one seen least */
            k = COLOURS - 1;
            m->y[k][i] = vy;
            m->cb[k][i] = vb;
            m->cr[k][i] = vr;
            m->seen[k][i] = 1;
        } else {
            m->y[k][i] = (uint16_t)(m->y[k][i] + ((vy - m->y[k][i]) >> RATE));
            m->cb[k][i] = (uint16_t)(m->cb[k][i] + ((vb - m->cb[k][i]) >> RATE));
            m->cr[k][i] = (uint16_t)(m->cr[k][i] + ((vr - m->cr[k][i]) >> RATE));
            m->raw[i] = m->seen[k][i] < SEEN_BACKGROUND;
        }
        m->hit[i] = (uint8_t)k;
    }
}

/* Every `tick` frames: what was hit has been seen longer; every fourth time the others fade. Colours stay sorted. */
static void age(motion *m) {
    size_t n = (size_t)m->width * m->height;
    int fade = m->time % (uint32_t)(4 * m->tick) == 0;
    for (size_t i = 0; i < n; i++) {
        int hit = m->hit[i];
        if (m->seen[hit][i] < SEEN_MAX) m->seen[hit][i]++;
        if (fade)
            for (int k = 0; k < COLOURS; k++)
                if (k != hit && m->seen[k][i] > 1) m->seen[k][i]--;
        if (hit > 0 && m->seen[hit][i] > m->seen[hit - 1][i]) {
            swap16(m->y[hit], m->y[hit - 1], i);
            swap16(m->cb[hit], m->cb[hit - 1], i);
            swap16(m->cr[hit], m->cr[hit - 1], i);
            uint8_t t = m->seen[hit][i];
            m->seen[hit][i] = m->seen[hit - 1][i];
            m->seen[hit - 1][i] = t;
        }
    }
}

static int shaken(const motion *m, int32_t x, int32_t y, size_t i) {
    const uint16_t t = (uint16_t)(m->set.neighbour << 8), vy = (uint16_t)(m->now_y[i] << 8);
    const uint16_t vb = (uint16_t)(m->now_cb[i] << 8), vr = (uint16_t)(m->now_cr[i] << 8);
    for (int32_t dy = -1; dy <= 1; dy++)
        for (int32_t dx = -1; dx <= 1; dx++) {
            if (x + dx < 0 || x + dx >= m->width || y + dy < 0 || y + dy >= m->height) continue;
            size_t j = i + (ptrdiff_t)dy * m->width + dx;
            if (distance(vy, m->y[0][j]) > t || distance(vb, m->cb[0][j]) > t) continue;
            if (distance(vr, m->cr[0][j]) > t) continue;
            return 1;
        }
    return 0;
}

/* A soft shadow: darker, of the same colour, and by the same factor all around (mean deviation from it under 1/32). */
static int shadowed(const motion *m, int32_t x, int32_t y, size_t i) {
    if (x < 2 || y < 2 || x >= m->width - 2 || y >= m->height - 2) return 0;
    int32_t now = m->now_y[i], was = m->y[0][i] >> 8;
    if (was < 20 || now * 256 < was * m->set.shadow || now >= was) return 0;
    int32_t dcb = absolute(m->now_cb[i] - (m->cb[0][i] >> 8)), dcr = absolute(m->now_cr[i] - (m->cr[0][i] >> 8));
    if (dcb > m->set.chroma || dcr > m->set.chroma) return 0;
    int32_t sum_now = 0, sum_was = 0;
    for (int32_t dy = -2; dy <= 2; dy++)
        for (int32_t dx = -2; dx <= 2; dx++) {
            size_t j = i + (ptrdiff_t)dy * m->width + dx;
            sum_now += m->now_y[j];
            sum_was += m->y[0][j] >> 8;
        }
    int64_t off = 0;
    for (int32_t dy = -2; dy <= 2; dy++)
        for (int32_t dx = -2; dx <= 2; dx++) {
            size_t j = i + (ptrdiff_t)dy * m->width + dx;
            off += absolute(m->now_y[j] * sum_was - (m->y[0][j] >> 8) * sum_now);
        }
    return off * 32 < (int64_t)sum_now * sum_was;
}

/* Binary median of 9 x 9, cut at the borders: 1 where more than half of the window is. */
static int32_t median_filter(motion *m, const uint8_t *in, uint8_t *out) {
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

int32_t motion_step(motion *m, const motion_frame *frame, uint8_t *mask) {
    load(m, frame, m->now_y, m->now_cb, m->now_cr);
    m->time++;
    match_first(m);
    match_others(m);
    if (m->time % (uint32_t)m->tick == 0) age(m);
    for (int32_t y = 0; y < m->height; y++)
        for (int32_t x = 0; x < m->width; x++) {
            size_t i = (size_t)y * m->width + x;
            if (!m->raw[i]) continue;
            if (!m->region[i] || (m->set.neighbour && shaken(m, x, y, i))) m->raw[i] = 0;
            else if (m->set.shadow < 256 && shadowed(m, x, y, i)) m->raw[i] = 0;
        }
    return median_filter(m, m->raw, mask);
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
