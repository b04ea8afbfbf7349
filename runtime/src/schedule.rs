//! Learning rates: what rate each step takes.
//!
//! A rate that stays costs points, because batches of one sample are noisy; it must fall in the end.
//! Where the number of steps is known, a half cosine does it. Where it is not, as on a device that
//! learns from whatever comes, the rate stays for as long as samples come, and falls once the network
//! is to settle: in the mean of what was measured that is as good, though not everywhere
//! (`docs/accuracy.md`).
//!
//! ```
//! use offshoot_runtime::schedule::Schedule;
//!
//! # const DEFAULT_RATE: f32 = 0.01;
//! let mut schedule = Schedule::open(DEFAULT_RATE); // the emitted crate's, or `default_rate`
//! for rate in schedule.by_ref().take(1000) {
//!     // trainer.train(label, rate)
//! #   assert_eq!(rate, DEFAULT_RATE);
//! }
//! // The last samples, or a second look at earlier ones.
//! schedule.settle(schedule.taken() / 4);
//! assert_eq!(schedule.count(), 250);
//! ```

use crate::program::{Op, Program};

/// Rate times feature energy. A step along a feature vector `x` changes that sample's logits by the rate
/// times `|x|^2` times the loss gradient, so that networks whose features reach further must go more
/// slowly; at 1, by the loss gradient itself, which is the step of the normalised least mean squares
/// algorithm (Nagumo and Noda, "A Learning Method for System Identification", 1967) with the mean energy
/// in place of each sample's.
const RATE_TIMES_ENERGY: f32 = 1.0;

/// Rate times `n s^2`, `n` features that are means of a map with step `s`: where energy was not measured,
/// as of networks that come in int8, the step says how far a map reaches at most. Fitted to learning
/// of MCUNet and MobileNetV2, whose energy, measured on five data sets each, is 84 to 156 times `n s^2`,
/// 114 in the geometric mean: the two rules agree to 2 % there.
const RATE_TIMES_STEPS: f32 = 8.6e-3;

/// Up to so many classes the rate is the same; beyond, it grows as the power 3/4 of their number. Fitted
/// to data sets of 2 to 10 classes and to one of 43.
const FEW_CLASSES: f32 = 10.0;

/// Rates beyond these were not measured.
const LEAST_AND_MOST: (f32, f32) = (1e-3, 4e-2);

/// For networks that reproduce their input.
const RECONSTRUCTION: f32 = 2e-2;

/// Rate at which a round of `program` starts unless a better one is known, in real units: weights are
/// scaled by their quantisation, losses by their gradient. `docs/accuracy.md` holds it against others.
///
/// For a trained head of `K` classes it is `(max(K, 10) / 10)^(3/4) / E`, within 0.001 to 0.04. `E` is the
/// energy of its features, where it was measured ([`Program::feature_energy`]), else `n s^2 / 0.0086` for
/// `n` features that are means of a map with scale `s`.
pub fn default_rate(program: &Program<'_>) -> f32 {
    let (mut head, mut unit) = (None, None);
    for op in program.ops {
        match op {
            Op::HeadUpdate(update) => head = Some(*update),
            Op::HeadOptimize(op) => head = Some(op.update),
            Op::SoftmaxCrossEntropy(loss) => unit = Some(loss.sixteenths.to_f32() / 16.0),
            Op::SigmoidCrossEntropy(loss) => unit = Some(loss.sixteenths.to_f32() / 16.0),
            _ => {}
        }
    }
    let (Some(head), Some(unit)) = (head, unit) else { return RECONSTRUCTION };
    // Features are 8.7 fixed point: 1/128 of the map's step. `factor` is their scale over the
    // weights', `unit` their scale times the weights'.
    let features = head.input.len() / 2;
    let steps = features as f32 * head.factor * unit * (128.0 * 128.0);
    let slow = match program.feature_energy {
        Some(energy) if energy > 0.0 => RATE_TIMES_ENERGY / energy,
        _ => RATE_TIMES_STEPS / steps,
    };
    let root = libm::sqrtf(f32::from(program.header.classes).max(FEW_CLASSES) / FEW_CLASSES);
    let rate = slow * root * libm::sqrtf(root);
    rate.clamp(LEAST_AND_MOST.0, LEAST_AND_MOST.1)
}

/// The rate of each step of a round, in order: an iterator that ends with the round.
///
/// It is plain data, to be kept with a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Schedule {
    base: f32,
    warm_up: u32,
    decay: Decay,
    taken: u32,
}

/// How the rate falls.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
enum Decay {
    /// Along a half cosine, to 0 after so many steps.
    Cosine(u32),
    /// Not yet.
    Open,
    /// Straight, to 0 within `steps` after `from`.
    Settling { from: u32, steps: u32 },
}

impl Schedule {
    /// A round of `steps` steps, from `base` along a half cosine to 0.
    pub const fn cosine(base: f32, steps: u32) -> Schedule {
        Schedule { base, warm_up: 0, decay: Decay::Cosine(steps), taken: 0 }
    }

    /// A round of unknown length, at `base` until it is to settle.
    pub const fn open(base: f32) -> Schedule {
        Schedule { base, warm_up: 0, decay: Decay::Open, taken: 0 }
    }

    /// The same, rising along a straight line in its first `steps` steps.
    pub const fn warm_up(self, steps: u32) -> Schedule {
        Schedule { warm_up: steps, ..self }
    }

    /// From now on the rate falls along a straight line, and the round ends after `steps` more. A
    /// quarter of the steps taken so far is enough.
    pub fn settle(&mut self, steps: u32) {
        self.decay = Decay::Settling { from: self.taken, steps };
    }

    /// Steps taken so far.
    pub const fn taken(&self) -> u32 {
        self.taken
    }
}

impl Iterator for Schedule {
    type Item = f32;

    /// The rate of the next step; none after the last. It stays where it is after 2^32 - 1 steps.
    fn next(&mut self) -> Option<f32> {
        let step = self.taken;
        let share = |step: u32, steps: u32| step as f32 / steps as f32;
        let decayed = match self.decay {
            Decay::Cosine(steps) | Decay::Settling { steps, .. } if steps == 0 => return None,
            Decay::Cosine(steps) if step >= steps => return None,
            Decay::Cosine(steps) => {
                0.5 * (1.0 + libm::cosf(core::f32::consts::PI * share(step, steps)))
            }
            Decay::Open => 1.0,
            Decay::Settling { from, steps } if step - from >= steps => return None,
            Decay::Settling { from, steps } => 1.0 - share(step - from, steps),
        };
        let risen = if step < self.warm_up { share(step + 1, self.warm_up) } else { 1.0 };
        self.taken = step.saturating_add(1);
        Some(self.base * decayed * risen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::Multiplier;
    use crate::program::op::{HeadUpdate, SoftmaxCrossEntropy};
    use crate::program::{Header, Memory};
    use crate::Slot;
    use std::vec::Vec;

    /// The default rate for a head of `features` means of a map with scale `scale`, whose weights have
    /// scale `weight`; with what was measured.
    fn measured(
        (features, scale, weight): (u32, f32, f32),
        classes: u16,
        feature_energy: Option<f32>,
    ) -> f32 {
        let feature = scale / 128.0;
        let head = HeadUpdate {
            input: Slot::new(Memory::Arena, 0, 2 * features),
            factor: feature / weight,
            ..HeadUpdate::default()
        };
        let sixteenths = Multiplier::from_f32(16.0 * feature * weight);
        let loss = SoftmaxCrossEntropy { sixteenths, ..SoftmaxCrossEntropy::default() };
        let header = Header { classes, ..Header::default() };
        let ops = [Op::from(loss), Op::from(head)];
        default_rate(&Program { header, init: &[], ops: &ops, constants: &[], feature_energy })
    }

    /// The same with nothing measured.
    fn rate(features: u32, scale: f32, weight: f32, classes: u16) -> f32 {
        measured((features, scale, weight), classes, None)
    }

    #[test]
    fn measured_energy_goes_before_the_step_of_the_map() {
        let head = (112, 0.126_83, 0.0078125);
        let of = |energy: f32, classes: u16| measured(head, classes, Some(energy));
        assert_eq!(of(320.0, 10), 1.0 / 320.0);
        assert_eq!(of(320.0, 160), 8.0 * of(320.0, 10));
        assert_eq!(of(640.0, 10), of(320.0, 10) / 2.0);
        // Whatever the step.
        assert_eq!(of(320.0, 10), measured((112, 0.2, 0.03125), 10, Some(320.0)));
        assert_eq!(of(0.5, 10), LEAST_AND_MOST.1);
        assert_eq!(of(f32::INFINITY, 10), LEAST_AND_MOST.0);
        // Features that were 0 throughout, or what is no energy.
        for energy in [0.0, -1.0, f32::NAN] {
            assert_eq!(of(energy, 10), measured(head, 10, None));
        }
    }

    #[test]
    fn networks_of_far_features_learn_slowly() {
        let near = |a: f32, b: f32| (a / b - 1.0).abs() < 1e-4;
        assert!(near(rate(160, 0.147, 0.0078125, 5), 8.6e-3 / (160.0 * 0.147 * 0.147)));
        // Whatever the unit of the weights.
        assert!(near(rate(160, 0.147, 0.03125, 5), rate(160, 0.147, 0.0078125, 10)));
        assert!(near(rate(160, 0.147, 0.0078125, 160), 8.0 * rate(160, 0.147, 0.0078125, 2)));
        assert_eq!(rate(64, 0.01, 0.0078125, 10), LEAST_AND_MOST.1);
        assert_eq!(rate(1000, 1.0, 0.0078125, 10), LEAST_AND_MOST.0);
        let header = Header::default();
        let none = Program { header, init: &[], ops: &[], constants: &[], feature_energy: None };
        assert_eq!(default_rate(&none), RECONSTRUCTION);
    }

    #[test]
    fn a_cosine_falls_from_base_to_nothing() {
        let rates: Vec<f32> = Schedule::cosine(0.01, 100).collect();
        assert_eq!((rates.len(), rates[0]), (100, 0.01));
        assert!((rates[50] - 0.005).abs() < 1e-8);
        assert!(rates[99] < 1e-5);
        assert!(rates.windows(2).all(|pair| pair[0] > pair[1]));
        assert_eq!(Schedule::cosine(0.01, 0).next(), None);
    }

    #[test]
    fn an_open_round_stays_until_it_settles() {
        let mut schedule = Schedule::open(0.01);
        assert!(schedule.by_ref().take(80).all(|rate| rate == 0.01));
        schedule.settle(schedule.taken() / 4);
        let rates: Vec<f32> = schedule.by_ref().collect();
        assert_eq!((rates.len(), rates[0]), (20, 0.01));
        assert!((rates[10] - 0.005).abs() < 1e-8 && rates[19] > 0.0);
        assert_eq!((schedule.next(), schedule.taken()), (None, 100));
        schedule.settle(0);
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn a_warm_up_rises() {
        let rates: Vec<f32> = Schedule::open(0.01).warm_up(4).take(6).collect();
        assert_eq!(rates, [0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01]);
        let plain: Vec<f32> = Schedule::cosine(0.01, 9).collect();
        let warm: Vec<f32> = Schedule::cosine(0.01, 9).warm_up(3).collect();
        assert_eq!(plain[2..], warm[2..]);
        assert!((warm[0] - plain[0] / 3.0).abs() < 1e-9);
    }
}
