//! Inputs of the recorded vectors: the recipe that `tests/record/inputs.py` describes.

/// Input `index` of a network that takes `height` by `width` by `channels`, int8 in NHWC order:
/// noise, a smooth image, or low noise round a constant, by `index` modulo 3.
pub fn input(index: u32, height: usize, width: usize, channels: usize) -> Vec<i8> {
    let mut state = index + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    for _ in 0..8 {
        next();
    }
    let len = height * width * channels;
    if index.is_multiple_of(3) {
        return (0..len).map(|_| (next() >> 24) as u8 as i8).collect();
    }
    let mut below = |n: usize| (((next() >> 16) * n as u32) >> 16) as i32;
    let clamp = |v: i32| v.clamp(-128, 127) as i8;
    let mut out = Vec::with_capacity(len);
    if index % 3 == 1 {
        let planes: Vec<[i32; 3]> =
            (0..channels).map(|_| [below(256) - 128, below(513) - 256, below(513) - 256]).collect();
        let blobs: Vec<(i32, i32, i32, Vec<i32>)> = (0..1 + below(5))
            .map(|_| {
                let (cy, cx, s) = (below(height), below(width), 2 + below(8));
                (cy, cx, s, (0..channels).map(|_| below(401) - 200).collect())
            })
            .collect();
        let (h, w) = (height as i32, width as i32);
        for y in 0..h {
            for x in 0..w {
                for (c, [base, slope_y, slope_x]) in planes.iter().enumerate() {
                    let ramp = slope_y * (2 * y - (h - 1)) + slope_x * (2 * x - (w - 1));
                    let mut v = base + (ramp >> 6);
                    for (cy, cx, s, amplitude) in &blobs {
                        let near = (1 << s) - ((y - cy).pow(2) + (x - cx).pow(2));
                        if near > 0 {
                            v += (amplitude[c] * ((near * near) >> s)) >> s;
                        }
                    }
                    out.push(clamp(v));
                }
            }
        }
    } else {
        let levels: Vec<i32> = (0..channels).map(|_| below(256) - 128).collect();
        let a = 1 + below(24);
        for _ in 0..height * width {
            for level in &levels {
                out.push(clamp(level + below(2 * a as usize + 1) - a));
            }
        }
    }
    out
}
