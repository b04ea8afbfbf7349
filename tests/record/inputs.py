"""The inputs of the recorded vectors, which are not stored.

`generate(index, height, width, channels)` makes input `index` (0 .. N-1) out of
integers alone, as follows. Arithmetic is on 32-bit
integers, signed except where a draw is concerned; `>>` on a signed value is the
arithmetic shift (it rounds towards minus infinity). Nothing overflows 32 bits.

Draws. The state is a u32, seeded with index + 1. One step is xorshift32:

    s ^= s << 13;  s ^= s >> 17;  s ^= s << 5      (modulo 2^32)

and `next()` takes one step and returns the new state. The first 8 values are
thrown away. `below(n)`, for 1 <= n <= 65536, is ((next() >> 16) * n) >> 16.
Draws are made in exactly the order in which they are written here.

Elements are in NHWC order: for each y, for each x, for each c. `clamp` limits
a value to -128 .. 127. The kind of input is index mod 3:

0, uniform noise. Each element, in order, is next() >> 24, the byte
   reinterpreted as int8 (128 .. 255 become -128 .. -1).

1, a smooth image. For each channel c, in order, three draws:

       base[c]  = below(256) - 128
       slopey[c] = below(513) - 256
       slopex[c] = below(513) - 256

   then blobs = 1 + below(5), then for each blob, in order:

       cy = below(height)
       cx = below(width)
       s  = 2 + below(8)                      (radius squared is 2^s)
       amp[c] = below(401) - 200              (one draw a channel, in order)

   Element (y, x, c) is the clamp, made once at the end, of

       base[c]
       + ((slopey[c] * (2 * y - (height - 1)) + slopex[c] * (2 * x - (width - 1))) >> 6)
       + for each blob with w = 2^s - ((y - cy)^2 + (x - cx)^2) > 0:
             (amp[c] * ((w * w) >> s)) >> s

2, low noise round a constant. For each channel c, in order,
   level[c] = below(256) - 128; then a = 1 + below(24); then each element, in
   order, is clamp(level[c] + below(2 * a + 1) - a).
"""

import numpy as np

KINDS = ("noise", "smooth", "level")


class Draws:
    """xorshift32, first 8 values dropped."""

    def __init__(self, seed):
        self.state = seed
        for _ in range(8):
            self.next()

    def next(self):
        s = self.state
        s ^= (s << 13) & 0xFFFFFFFF
        s ^= s >> 17
        s ^= (s << 5) & 0xFFFFFFFF
        self.state = s
        return s

    def below(self, n):
        return ((self.next() >> 16) * n) >> 16


def clamp(v):
    return max(-128, min(127, v))


def generate(index, height, width, channels):
    """Input `index`, int8 [height, width, channels]. The recipe is above."""
    d = Draws(index + 1)
    out = []
    kind = index % 3
    if kind == 0:
        for _ in range(height * width * channels):
            b = d.next() >> 24
            out.append(b - 256 if b >= 128 else b)
    elif kind == 1:
        planes = []
        for _ in range(channels):
            base = d.below(256) - 128
            slopey = d.below(513) - 256
            slopex = d.below(513) - 256
            planes.append((base, slopey, slopex))
        blobs = []
        for _ in range(1 + d.below(5)):
            cy = d.below(height)
            cx = d.below(width)
            s = 2 + d.below(8)
            blobs.append((cy, cx, s, [d.below(401) - 200 for _ in range(channels)]))
        for y in range(height):
            for x in range(width):
                for c, (base, slopey, slopex) in enumerate(planes):
                    v = base + ((slopey * (2 * y - (height - 1)) + slopex * (2 * x - (width - 1))) >> 6)
                    for cy, cx, s, amp in blobs:
                        w = (1 << s) - ((y - cy) ** 2 + (x - cx) ** 2)
                        if w > 0:
                            v += (amp[c] * ((w * w) >> s)) >> s
                    out.append(clamp(v))
    else:
        level = [d.below(256) - 128 for _ in range(channels)]
        a = 1 + d.below(24)
        for _ in range(height * width):
            for c in range(channels):
                out.append(clamp(level[c] + d.below(2 * a + 1) - a))
    return np.array(out, np.int8).reshape(height, width, channels)
