/* Background model: each pixel keeps up to three colours, in fixed point, each with the time it has been seen; a colour
   seen long enough is background (an integer relative of Stauffer and Grimson's mixtures, CVPR 1999, with a temporal
   median to start from and a mean absolute deviation for the noise). A frame is first brought to the background's place
   and light (frame.c); what differs then is doubted (doubt.c) and smoothed (groups.c). */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#define RATE 5 /* a matched colour moves 1/32 of the way */
#define SEEN_MAX 250
#define SEEN_BACKGROUND 20
#define MAX_SIDE 8192

void motion_free(motion *m) {
    if (!m) return;
    free(m->samples);
    steady_free(m->steady);
    free(m);
}

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
    size_t bytes = n * (7 * COLOURS + 11) + 2 * padded + runs * (sizeof(int32_t) + sizeof(motion_blob)) + 64 * pieces;
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
    m->still = take(&at, n);
    m->changed = take(&at, n);
    m->blinks = take(&at, n);
    m->columns = take(&at, padded);
    m->line = take(&at, padded);
    m->steady = steady_new(width, height);
    if (!m->steady) {
        motion_free(m);
        return NULL;
    }
    m->parents = take(&at, runs * sizeof *m->parents);
    m->runs = take(&at, runs * sizeof *m->runs);
    memset(m->region, 1, n);
    return m;
}

void motion_region(motion *m, const uint8_t *region) { memcpy(m->region, region, (size_t)m->width * m->height); }

/* The first colour, which fits most pixels: written so that compilers make vectors of it. */
static void match_first(motion *m) {
    size_t n = (size_t)m->width * m->height;
    uint16_t *restrict y0 = m->y[0], *restrict cb0 = m->cb[0], *restrict cr0 = m->cr[0], *restrict dev = m->deviation;
    const uint8_t *restrict y = m->now_y, *restrict cb = m->now_cb, *restrict cr = m->now_cr;
    uint8_t *restrict raw = m->raw;
    const uint16_t base = (uint16_t)(m->set.luma << 8), chroma = (uint16_t)(m->set.chroma << 8);
    const uint16_t noise = (uint16_t)m->set.noise, dev_max = DEVIATION_MAX;
    for (size_t i = 0; i < n; i++) {
        uint16_t vy = (uint16_t)(y[i] << 8), vb = (uint16_t)(cb[i] << 8), vr = (uint16_t)(cr[i] << 8);
        uint16_t ty = (uint16_t)(base + noise * dev[i]);
        ty = ty < LUMA_MAX ? ty : LUMA_MAX;
        uint16_t tc = (uint16_t)(chroma + (dev[i] >> 1));
        tc = tc < CHROMA_MAX ? tc : CHROMA_MAX;
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
    for (size_t i = 0; i < n; i++) {
        if (!m->raw[i]) {
            m->hit[i] = 0;
            continue;
        }
        uint16_t vy = (uint16_t)(m->now_y[i] << 8), ty = luma_tolerance(m, m->deviation[i]);
        uint16_t tc = chroma_tolerance(m, m->deviation[i]);
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
            if (m->hit[i] != k && m->seen[k][i] < SEEN_MAX - 2) m->seen[k][i]++; /* it has come back */
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

int32_t motion_step(motion *m, const motion_frame *frame, uint8_t *mask) {
    motion_take(m, frame);
    m->time++;
    match_first(m);
    match_others(m);
    if (m->time % (uint32_t)m->tick == 0) age(m);
    motion_blink(m);
    motion_doubt(m);
    if (!m->dx && !m->dy) return motion_median(m, m->raw, mask);
    motion_median(m, m->raw, m->still);
    return motion_put_back(m, m->still, mask);
}
