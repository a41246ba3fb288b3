/* How far a shaken camera has moved, found by strong edges of the background. */
#ifndef STEADY_H
#define STEADY_H

#include <stdint.h>

typedef struct steady steady;

/* NULL when there is no memory. */
steady *steady_new(int32_t width, int32_t height);
void steady_free(steady *s);

/* Take a picture of the background: its edges are what frames are compared with. `noise`, unless NULL, is each
   pixel's mean deviation: edges of what moves by itself (leaves, water) are left out. */
void steady_learn(steady *s, const uint8_t *luma, const uint8_t *noise);

/* Where the background's pixel (0, 0) is in this frame; (0, 0) when there is too little to go by. */
void steady_find(steady *s, const uint8_t *luma, int32_t *dx, int32_t *dy);

#endif
