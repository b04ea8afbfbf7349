//! Delayed scaling of error tensors: the exponent of this step comes from earlier ones.
//!
//! An error tensor stores `e = sat127(round(g * 2^-k))`. `k` is chosen before `g` is known, from
//! the running amplitude `A <- max(max|g|, 0.98 A)`, as the least power of two with
//! `A <= 127 * 2^k`; so one pass suffices and no int32 copy of the tensor exists. While `A` is 0
//! (no gradient seen yet) the tensor is computed twice: once to measure it, once to write it.

use crate::program::op::{Error, LOSS_EXPONENT};
use crate::{arena::Arena, fixed, machine, Fault};

/// The share of the amplitude that survives a step without a larger value.
pub const DECAY: f32 = 0.98;

/// Exponents beyond this do not arise; state that was restored damaged must not overflow sums of
/// exponents.
const LARGEST: i32 = 1000;

/// Exponent that an error tensor was written with.
///
/// # Errors
/// A [`Fault`] where the tracker lies outside state memory.
pub fn exponent(state: &Arena<'_>, error: &Error) -> Result<i32, Fault> {
    if error.tracker.is_empty() {
        return Ok(LOSS_EXPONENT);
    }
    let bytes = machine::part(state.bytes(), error.tracker)?;
    let words = machine::typed::<i32>(bytes)?;
    let exponent = words.get(1).ok_or(Fault::Size)?;
    Ok((*exponent).clamp(-LARGEST, LARGEST))
}

/// Least `k` with `amplitude <= 127 * 2^k`, from the bits of the number.
pub fn exponent_of(amplitude: f32) -> i32 {
    let ratio = amplitude / 127.0;
    let bits = ratio.to_bits();
    let floor = ((bits >> 23) & 0xFF) as i32 - 127;
    if bits & 0x7F_FFFF == 0 {
        floor
    } else {
        floor + 1
    }
}

/// 2 to the power `k`, for `k` in [-126, 127]; clamped outside.
pub fn power_of_two(k: i32) -> f32 {
    f32::from_bits(((k.clamp(-126, 127) + 127) as u32) << 23)
}

/// Quantises accumulators of one error tensor and keeps its largest one.
#[derive(Clone, Copy, Debug)]
pub struct Quantizer {
    pub(crate) right: i32,
    pub(crate) peak: u32,
    /// Whether the tensor is only measured: it keeps what it holds.
    pub(crate) measures: bool,
}

impl Quantizer {
    /// `right`: how far accumulators are shifted down (negative: up).
    pub fn new(right: i32) -> Self {
        Quantizer { right, peak: 0, measures: false }
    }

    /// One element: rounds, saturates to +-127, and notes its size.
    #[inline]
    pub fn quantize(&mut self, accumulator: i32) -> i8 {
        self.peak = self.peak.max(accumulator.unsigned_abs());
        fixed::shift_rounding(accumulator, self.right).clamp(-127, 127) as i8
    }
}

/// Writes an error tensor under delayed scaling. `unit` is the exponent of the accumulators that
/// `fill` computes (`g = acc * 2^unit`); `fill` writes the whole tensor through the quantiser it
/// is given. It may read what the tensor held before only if it leaves that when it measures.
///
/// # Errors
/// Those of `fill`, and a [`Fault`] where the tracker lies outside state memory.
pub fn write(
    state: &mut Arena<'_>,
    error: &Error,
    unit: i32,
    mut fill: impl FnMut(&mut Quantizer, &Arena<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut amplitude = f32::from_bits(tracker(state, error)?[0]);
    // Not a number or infinite: state that was restored damaged. It starts anew.
    if !(amplitude > 0.0 && amplitude.is_finite()) {
        let mut measure = Quantizer { measures: true, ..Quantizer::new(0) };
        fill(&mut measure, state)?;
        amplitude = measure.peak as f32 * power_of_two(unit);
    }
    let exponent = if amplitude > 0.0 { exponent_of(amplitude) } else { unit };
    let mut quantizer = Quantizer::new(exponent - unit);
    fill(&mut quantizer, state)?;
    let seen = quantizer.peak as f32 * power_of_two(unit);
    let decayed = DECAY * amplitude;
    let words = tracker(state, error)?;
    // An amplitude that decayed below any normal number starts anew with the next gradient.
    let next = if seen > decayed { seen } else { decayed };
    words[0] = if next < 1e-30 { 0 } else { next.to_bits() };
    words[1] = exponent as u32;
    Ok(())
}

fn tracker<'m>(state: &'m mut Arena<'_>, error: &Error) -> Result<&'m mut [u32; 2], Fault> {
    let (_, [bytes]) = state.split([], [error.tracker])?;
    machine::typed_mut::<u32>(bytes)?.try_into().map_err(|_| Fault::Size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memory, Slot};

    #[test]
    fn exponents_are_the_least_that_hold_the_amplitude() {
        for a in [127.0f32, 128.0, 1.0, 0.3, 1e-6, 126.9, 254.0, 254.1] {
            let k = exponent_of(a);
            assert!(a <= 127.0 * power_of_two(k), "{a}");
            assert!(a > 127.0 * power_of_two(k - 1), "{a}");
        }
    }

    #[test]
    fn first_tensor_is_measured_and_later_ones_follow_the_amplitude() {
        let mut memory = [0u64; 2];
        let bytes = zerocopy::IntoBytes::as_mut_bytes(&mut memory);
        let mut state = Arena::new(bytes);
        let error = Error { data: Slot::default(), tracker: Slot::new(Memory::State, 0, 8) };
        let mut run = |values: [i32; 3]| {
            let mut out = [0i8; 3];
            write(&mut state, &error, -10, |q, _| {
                for (o, v) in out.iter_mut().zip(values) {
                    *o = q.quantize(v);
                }
                Ok(())
            })
            .unwrap();
            (out, exponent(&state, &error).unwrap())
        };
        // 5000 = 78.1 * 64, the first tensor sets its own scale.
        assert_eq!(run([5000, -2500, 10]), ([78, -39, 0], -4));
        // Four times as large: saturates once, then the scale follows.
        assert_eq!(run([20000, 64, 0]).0, [127, 1, 0]);
        assert_eq!(run([20000, 64, 0]), ([78, 0, 0], -2));
        // An all-zero tensor changes nothing but the decay.
        assert_eq!(run([0, 0, 0]).0, [0, 0, 0]);
    }

    #[test]
    fn damaged_state_starts_anew() {
        for amplitude in [f32::NAN, f32::INFINITY, -1.0] {
            let mut memory = [amplitude.to_bits(), 0x8000_0000, 0, 0];
            let mut state = Arena::new(zerocopy::IntoBytes::as_mut_bytes(&mut memory));
            let error = Error { data: Slot::default(), tracker: Slot::new(Memory::State, 0, 8) };
            assert_eq!(exponent(&state, &error), Ok(-LARGEST));
            let fill = |q: &mut Quantizer, _: &Arena<'_>| {
                assert_eq!(q.quantize(127), 127);
                Ok(())
            };
            write(&mut state, &error, -4, fill).unwrap();
            assert_eq!(exponent(&state, &error), Ok(-4));
        }
    }
}
