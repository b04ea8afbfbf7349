//! What this module computes, beside the portable loops.

use std::vec::Vec;

use super::finish::{Channels, Wide};
use super::{available, load32, portably, std, store32};
use crate::error_scale::Quantizer;
use crate::fixed::Multiplier;
use crate::kernels::gradient::axpy::Pending as Portable;
use crate::kernels::gradient::Sink;
use crate::kernels::scales::Scales;
use crate::kernels::testing::Random;

/// What `f` gives with this module and without.
fn both<T>(mut f: impl FnMut() -> T) -> [T; 2] {
    [f(), portably(&mut f)]
}

#[test]
fn rows_of_any_length_and_number_are_added() {
    let r = &mut Random::new(1);
    for width in (0..40).chain([63, 64, 65, 95, 128, 200]) {
        for count in [0, 1, 2, 3, 31, 32, 33, 70] {
            let rows: Vec<Vec<i8>> = (0..count).map(|_| r.int8(width)).collect();
            let factors: Vec<i16> = (0..count).map(|_| r.within(-32767, 32767) as i16).collect();
            let start: Vec<i32> = (0..width).map(|_| r.within(-1000, 1000)).collect();
            let mut expected = start.clone();
            let mut portable = Portable::new();
            for (row, &factor) in rows.iter().zip(&factors) {
                portable.push(&mut expected, factor, row);
            }
            portable.flush(&mut expected);
            for sums in both(|| {
                let mut sums = start.clone();
                let mut pending = super::Pending::new();
                for (row, &factor) in rows.iter().zip(&factors) {
                    pending.push(&mut sums, factor, row);
                }
                pending.flush(&mut sums);
                sums
            }) {
                assert_eq!(sums, expected, "{count} rows of {width}");
            }
        }
    }
}

#[test]
fn errors_are_rounded_and_masked_alike() {
    let r = &mut Random::new(2);
    for round in 0..400 {
        let (before, count) = (r.below(9), r.below(40));
        let length = before + count;
        let wide = [1 << 8, 1 << 20, i32::MAX][r.below(3)];
        let mut sums: Vec<i32> = (0..count).map(|_| r.within(-wide, wide)).collect();
        if let Some(first) = sums.first_mut().filter(|_| round % 3 == 0) {
            *first = [i32::MIN, i32::MAX][r.below(2)];
        }
        let mask = r.mask(length);
        let skip = r.int8(length);
        let right = r.within(-40, 40);
        let skip_down = r.within(-30, 36);
        let (masked, skips, over) = (r.below(2) == 0, r.below(3) == 0, r.below(2) == 0);
        let measures = r.below(5) == 0;
        let [wide, portable] = both(|| {
            let mut out = if over { skip.clone() } else { std::vec![7i8; length] };
            let mut quantizer = Quantizer { measures, ..Quantizer::new(right) };
            let mut sink = Sink {
                out: &mut out,
                mask: if masked { &mask } else { &[] },
                skip: if skips && !over { &skip } else { &[] },
                over,
                skip_down,
            };
            sink.put(&mut quantizer, before, &sums);
            (out, std::format!("{quantizer:?}"))
        });
        assert_eq!(wide, portable, "right {right}, skip {skip_down}");
    }
}

#[test]
fn multipliers_scale_alike() {
    if !available() {
        return;
    }
    let r = &mut Random::new(3);
    for _ in 0..3000 {
        // Most in the range of real layers, some shifting left or everything away.
        let factor = [1e-9, 1e-4, 0.9, 7.0, 1e5, 1e9][r.below(6)];
        let scales: Vec<Multiplier> = (0..8).map(|_| r.multiplier(factor)).collect();
        let values: Vec<i32> = scales.iter().map(|m| m.value).collect();
        let shifts: Vec<i8> = scales.iter().map(|m| m.shift as i8).collect();
        let tables = Scales { multiplier: &values, shift: &shifts };
        let wide = [1 << 8, 1 << 20, i32::MAX][r.below(3)];
        let mut x = [0; 8].map(|_: i32| r.within(-wide, wide));
        x[r.below(8)] = [i32::MIN, i32::MAX, 0, -1, 1][r.below(5)];
        let (mut once, mut twice) = ([0; 8], [0; 8]);
        // SAFETY: the processor has AVX2.
        unsafe {
            store32(Wide::new(0, &tables).scale(load32(&x)), &mut once);
            store32(Channels::new(0, &[0; 8], &tables).scaled(load32(&x)), &mut twice);
        }
        for n in 0..8 {
            assert_eq!(once[n], scales[n].scale_wide(x[n], 0), "{} by {:?}", x[n], scales[n]);
            assert_eq!(twice[n], scales[n].scale(x[n]), "{} by {:?}", x[n], scales[n]);
        }
    }
}
