/* A frame, brought to where the background is (the camera may shake) and to its light (which may change). */
#include "model.h"

#include <string.h>

#define LIT 5       /* changes of light under 5/256 are left to the model */
#define LIT_FAR 32  /* beyond 32/256 the model is brought to the new light instead of each frame to the old */
#define DARK 24     /* luma that says too little about light */
#define BRIGHT 245

/* A row of chroma at the width of luma. */
static void widen(const uint8_t *restrict from, uint8_t *restrict to, int32_t width, int32_t shift) {
    int32_t x = 0;
    if (shift == 1)
        for (; x + 1 < width; x += 2) to[x] = to[x + 1] = from[x >> 1];
    for (; x < width; x++) to[x] = from[x >> shift];
}

/* A row that is moved by `dx`, its ends repeated. */
void motion_move_row(const uint8_t *restrict from, uint8_t *restrict to, int32_t width, int32_t dx) {
    const int32_t left = dx < 0 ? -dx : 0, right = dx > 0 ? dx : 0;
    memcpy(to + left, from + right, width - left - right);
    memset(to, from[0], left);
    memset(to + width - right, from[width - 1], right);
}

/* Bring luma and chroma to one resolution, and the frame to where the background is. */
void motion_load(const motion *m, const motion_frame *f, int32_t dx, int32_t dy, uint8_t *y, uint8_t *cb, uint8_t *cr) {
    const int32_t w = m->width;
    int32_t last = -1;
    for (int32_t row = 0; row < m->height; row++) {
        const size_t to = (size_t)w * row;
        const int32_t source = within(row + dy, m->height - 1), coarse = source >> f->y_shift;
        motion_move_row(f->y + (size_t)source * f->y_stride, y + to, w, dx);
        if (coarse == last) {
            memcpy(cb + to, cb + to - w, w);
            memcpy(cr + to, cr + to - w, w);
            continue;
        }
        last = coarse;
        const size_t from = (size_t)coarse * f->c_stride;
        widen(f->cb + from, dx ? m->line : cb + to, w, f->x_shift);
        if (dx) motion_move_row(m->line, cb + to, w, dx);
        widen(f->cr + from, dx ? m->line : cr + to, w, f->x_shift);
        if (dx) motion_move_row(m->line, cr + to, w, dx);
    }
}

/* Changes of light: the median over a grid of how bright pixels are against their background, in 1/256. */
static int32_t brightness(const motion *m) {
    int32_t counts[1025] = {0}, total = 0, sum = 0, ratio = 0;
    for (int32_t y = 2; y < m->height; y += 4)
        for (int32_t x = 2; x < m->width; x += 4) {
            const size_t i = (size_t)y * m->width + x;
            const int32_t was = m->y[0][i] >> 8, now = m->now_y[i];
            if (was < DARK || now > BRIGHT || was > BRIGHT) continue;
            const int32_t r = (now * 256 + was / 2) / was;
            counts[r < 1024 ? r : 1024]++;
            total++;
        }
    if (total < 64) return 256;
    while (ratio < 1024 && (sum += counts[ratio]) * 2 < total) ratio++;
    int64_t all_now = 0, all_was = 1; /* and the mean of what is close to it */
    for (int32_t y = 2; y < m->height; y += 4)
        for (int32_t x = 2; x < m->width; x += 4) {
            const size_t i = (size_t)y * m->width + x;
            const int32_t was = m->y[0][i], now = m->now_y[i] << 8;
            if (was < DARK << 8 || now > BRIGHT << 8 || was > BRIGHT << 8) continue;
            if (absolute(now - was / 256 * ratio) * 8 > now) continue;
            all_now += now;
            all_was += was;
        }
    return (int32_t)(all_now * 256 / all_was);
}

/* Bring a frame to the light of the background. */
static void relight(motion *m, int32_t ratio) {
    const size_t n = (size_t)m->width * m->height;
    uint8_t luma[256], chroma[256];
    for (int32_t v = 0; v < 256; v++) {
        luma[v] = (uint8_t)within((v * 256 + ratio / 2) / ratio, 255);
        chroma[v] = (uint8_t)within(128 + (v - 128) * 256 / ratio, 255);
    }
    for (size_t i = 0; i < n; i++) m->now_y[i] = luma[m->now_y[i]];
    for (size_t i = 0; i < n; i++) m->now_cb[i] = chroma[m->now_cb[i]];
    for (size_t i = 0; i < n; i++) m->now_cr[i] = chroma[m->now_cr[i]];
}

/* Bring the model to the light of the frame. */
static void follow(motion *m, int32_t ratio) {
    const size_t n = (size_t)m->width * m->height;
    for (int k = 0; k < COLOURS; k++)
        for (size_t i = 0; i < n; i++) {
            m->y[k][i] = (uint16_t)within(m->y[k][i] * ratio / 256, 255 << 8);
            m->cb[k][i] = (uint16_t)within((128 << 8) + (m->cb[k][i] - (128 << 8)) * ratio / 256, 255 << 8);
            m->cr[k][i] = (uint16_t)within((128 << 8) + (m->cr[k][i] - (128 << 8)) * ratio / 256, 255 << 8);
        }
    motion_hold(m);
}

void motion_take(motion *m, const motion_frame *frame) {
    motion_load(m, frame, 0, 0, m->now_y, m->now_cb, m->now_cr);
    steady_find(m->steady, m->now_y, &m->dx, &m->dy);
    if (m->dx || m->dy) motion_load(m, frame, m->dx, m->dy, m->now_y, m->now_cb, m->now_cr);
    const int32_t ratio = brightness(m), off = absolute(ratio - 256);
    if (ratio < 85 || ratio > 768) return; /* beyond threefold it is another scene, not another light */
    if (off > LIT_FAR) follow(m, ratio);
    else if (off > LIT) relight(m, ratio);
}

/* The mask back to where the frame is. */
int32_t motion_put_back(const motion *m, const uint8_t *from, uint8_t *to) {
    const int32_t w = m->width, h = m->height, dx = m->dx, dy = m->dy;
    int32_t count = 0;
    memset(to, 0, (size_t)w * h);
    for (int32_t y = dy > 0 ? dy : 0; y < h && y - dy < h; y++)
        for (int32_t x = dx > 0 ? dx : 0; x < w && x - dx < w; x++)
            count += to[(size_t)y * w + x] = from[(size_t)(y - dy) * w + x - dx];
    return count;
}

