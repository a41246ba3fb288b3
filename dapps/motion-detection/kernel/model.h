/* What the parts of the kernel share: the model and small arithmetic. */
#ifndef MODEL_H
#define MODEL_H

#include "motion.h"
#include "steady.h"

#include <stddef.h>
#include <stdint.h>

#define COLOURS 3
#define PAD 16                /* bytes beside a row of column sums */
#define LUMA_MAX (40 << 8)    /* tolerances never grow beyond these, in 8.8 fixed point */
#define CHROMA_MAX (16 << 8)
#define DEVIATION_MAX (20 << 8)

struct motion {
    int32_t width, height, tick;
    uint32_t time;
    motion_settings set;
    uint16_t *y[COLOURS], *cb[COLOURS], *cr[COLOURS]; /* 8.8 fixed point; the first colour is the likeliest */
    uint8_t *seen[COLOURS];                           /* how long each has been seen */
    uint16_t *deviation;                              /* 8.8, of luma from the first colour */
    uint8_t *now_y, *now_cb, *now_cr;                 /* the frame, brought to the background's place and light */
    uint8_t *raw, *hit;                               /* what differs; the colour that was matched */
    uint8_t *changed, *blinks;                        /* what differed before filtering; how often that turned */
    uint8_t *region, *still, *line, *columns;
    uint8_t *samples;
    int32_t sample_count, sampled;
    steady *steady;
    int32_t dx, dy;                                   /* where the background is in this frame */
    int32_t *parents;                                 /* of the runs of moving pixels: a union-find forest */
    motion_blob *runs;
};

static inline int32_t absolute(int32_t v) { return v < 0 ? -v : v; }
static inline uint16_t distance(uint16_t a, uint16_t b) { return a > b ? a - b : b - a; }
static inline int32_t within(int32_t value, int32_t most) { return value < 0 ? 0 : value > most ? most : value; }

/* How far a pixel's luma and chroma may be from its background: the least that counts, and its own noise. */
static inline uint16_t luma_tolerance(const motion *m, uint16_t deviation) {
    int32_t t = (m->set.luma << 8) + m->set.noise * deviation;
    return (uint16_t)(t < LUMA_MAX ? t : LUMA_MAX);
}

static inline uint16_t chroma_tolerance(const motion *m, uint16_t deviation) {
    int32_t t = (m->set.chroma << 8) + deviation / 2;
    return (uint16_t)(t < CHROMA_MAX ? t : CHROMA_MAX);
}

/* start.c: the background's samples, and what the steadier goes by. */
void motion_hold(motion *m);

/* frame.c: the next frame, brought to the background's place and light. */
void motion_load(const motion *m, const motion_frame *f, int32_t dx, int32_t dy, uint8_t *y, uint8_t *cb, uint8_t *cr);
void motion_move_row(const uint8_t *restrict from, uint8_t *restrict to, int32_t width, int32_t dx);
void motion_take(motion *m, const motion_frame *frame);
int32_t motion_put_back(const motion *m, const uint8_t *from, uint8_t *to);

/* doubt.c: what differs and is nothing. */
void motion_blink(motion *m);
void motion_doubt(motion *m);

/* groups.c */
int32_t motion_median(motion *m, const uint8_t *in, uint8_t *out);

#endif
