/* What differs from the background and is nothing: shaken pixels, shadows, leaves and water. */
#include "model.h"

#define BLINK 16         /* a pixel that starts or ends to differ; one frame takes 1 back */
#define BLINKS 100       /* a pixel over this comes and goes all the time */
#define BLINK_RATE 4
#define SHADE_CHROMA 1   /* how far a shadow's chroma may be from that of the shaded background */
#define SHADE_LEAST 246  /* as 1/256: lighter is no shadow */
#define SHADE_EVEN 8     /* around a pixel the shade's factor varies by less than one part of this */

/* Pixels that come and go again and again (water, leaves): they are less steady than was thought. */
void motion_blink(motion *m) {
    const size_t n = (size_t)m->width * m->height;
    uint8_t *restrict blinks = m->blinks, *restrict changed = m->changed;
    const uint8_t *restrict raw = m->raw;
    for (size_t i = 0; i < n; i++) {
        const uint8_t turned = raw[i] ^ changed[i], v = blinks[i];
        changed[i] = raw[i];
        blinks[i] = (uint8_t)(v - (v > 0) + (v < 256 - BLINK ? turned * BLINK : 0));
    }
    for (size_t i = 0; i < n; i++) {
        if (!raw[i] || blinks[i] < BLINKS) continue;
        uint16_t d = distance((uint16_t)(m->now_y[i] << 8), m->y[0][i]);
        const uint16_t b = distance((uint16_t)(m->now_cb[i] << 8), m->cb[0][i]);
        const uint16_t r = distance((uint16_t)(m->now_cr[i] << 8), m->cr[0][i]);
        d = d > b ? d : b;
        d = d > r ? d : r;
        d = d < DEVIATION_MAX ? d : DEVIATION_MAX;
        if (d > m->deviation[i]) m->deviation[i] = (uint16_t)(m->deviation[i] + ((d - m->deviation[i]) >> BLINK_RATE));
    }
}

/* What a neighbour of the background looks like: a camera shaken by less than a pixel or two, leaves. */
static int shaken(const motion *m, int32_t x, int32_t y, size_t i) {
    const uint16_t most = (uint16_t)(m->set.neighbour << 8), own = luma_tolerance(m, m->deviation[i]);
    const uint16_t t = own < most ? own : most, tc = chroma_tolerance(m, m->deviation[i]);
    const uint16_t vy = (uint16_t)(m->now_y[i] << 8), vb = (uint16_t)(m->now_cb[i] << 8);
    const uint16_t vr = (uint16_t)(m->now_cr[i] << 8);
    for (int32_t dy = -1; dy <= 1; dy++)
        for (int32_t dx = -1; dx <= 1; dx++) {
            if (x + dx < 0 || x + dx >= m->width || y + dy < 0 || y + dy >= m->height) continue;
            size_t j = i + (ptrdiff_t)dy * m->width + dx;
            if (distance(vy, m->y[0][j]) > t || distance(vb, m->cb[0][j]) > tc) continue;
            if (distance(vr, m->cr[0][j]) > tc) continue;
            return 1;
        }
    return 0;
}

/* A shadow: darker, of the same colour, and by the same factor all around. */
static int shadowed(const motion *m, int32_t x, int32_t y, size_t i) {
    if (x < 1 || y < 1 || x >= m->width - 1 || y >= m->height - 1) return 0;
    int32_t now = m->now_y[i], was = m->y[0][i] >> 8;
    if (was < 20 || now * 256 < was * m->set.shadow || now * 256 > was * SHADE_LEAST) return 0;
    int32_t cb = (m->cb[0][i] >> 8) - 128, cr = (m->cr[0][i] >> 8) - 128;
    if (absolute((m->now_cb[i] - 128) * was - cb * now) > SHADE_CHROMA * was) return 0;
    if (absolute((m->now_cr[i] - 128) * was - cr * now) > SHADE_CHROMA * was) return 0;
    int32_t off = 0, count = 0;
    for (int32_t dy = -1; dy <= 1; dy++)
        for (int32_t dx = -1; dx <= 1; dx++) {
            size_t j = i + (ptrdiff_t)dy * m->width + dx;
            if (!m->changed[j]) continue;
            off += absolute(m->now_y[j] * was - (m->y[0][j] >> 8) * now);
            count++;
        }
    return off * SHADE_EVEN < count * now * was;
}

void motion_doubt(motion *m) {
    for (int32_t y = 0; y < m->height; y++)
        for (int32_t x = 0; x < m->width; x++) {
            const size_t i = (size_t)y * m->width + x;
            if (!m->raw[i]) continue;
            if (!m->region[i] || (m->set.neighbour && shaken(m, x, y, i))) m->raw[i] = 0;
            else if (m->set.shadow < 256 && shadowed(m, x, y, i)) m->raw[i] = 0;
        }
}
