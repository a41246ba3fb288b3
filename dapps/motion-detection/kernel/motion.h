/* Detection of motion in the frames of a fixed camera, in integers: the same frames give the same bits everywhere. */
#ifndef MOTION_H
#define MOTION_H

#include <stdint.h>

typedef struct motion motion;

/* One decoded frame: luma, and chroma that is coarser by 2^shift in each direction. */
typedef struct {
    const uint8_t *y, *cb, *cr;
    int32_t y_stride, c_stride;
    int32_t x_shift, y_shift;
} motion_frame;

typedef struct {
    int32_t luma;        /* least difference of luma that counts, 0..255 */
    int32_t chroma;      /* the same for each chroma channel */
    int32_t noise;       /* how many times a pixel's own mean deviation is added to `luma` */
    int32_t neighbour;   /* a pixel this close to the background of a neighbour has only been shaken; 0 turns it off */
    int32_t absorb;      /* frames after which what stands still is background */
    int32_t shadow;      /* darkest soft shadow, as 1/256 of the background; 256 turns it off */
} motion_settings;

/* A connected group of moving pixels; x1 and y1 lie outside. */
typedef struct {
    int32_t x0, y0, x1, y1, area;
} motion_blob;

/* NULL when there is no memory for width x height, or the size is absurd. */
motion *motion_new(int32_t width, int32_t height, const motion_settings *settings);
void motion_free(motion *m);

/* Pixels that are looked at: width x height bytes, 0 or 1. All are, until this is called. */
void motion_region(motion *m, const uint8_t *region);

/* Start from the median of `count` frames, which motion_sample takes one by one. 0 when there is no memory. */
int32_t motion_begin(motion *m, int32_t count);
void motion_sample(motion *m, const motion_frame *frame);
void motion_learn(motion *m);

/* Take the next frame; `mask` gets 1 where something moves. Returns how many pixels do. */
int32_t motion_step(motion *m, const motion_frame *frame, uint8_t *mask);

/* Forget everything and take the last frame as background (light switched on, camera turned). */
void motion_restart(motion *m);

/* Connected groups (8 neighbours) of at least `min_area` pixels, in the order of their first pixel. Returns how many
   were written, at most `room`. */
int32_t motion_blobs(motion *m, const uint8_t *mask, int32_t min_area, motion_blob *blobs, int32_t room);

/* The mask as bits: rows of whole bytes, the left pixel in the highest bit. */
void motion_pack(const motion *m, const uint8_t *mask, uint8_t *bits);

#endif
