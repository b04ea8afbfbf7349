use super::optimizer::{BIAS_BITS, NARROW_BITS, SUM_BITS, WIDE_BITS};
use super::*;
use crate::kernels::testing::{Bench, Random};
use crate::program::op::Optimizer;

/// Parameters in state with their optimizer.
struct Case {
    bench: Bench,
    held: Held,
    parameter: Slot,
    optimizer: Optimizer,
    count: usize,
}

const WEIGHT: Held = Held::Weight(Precision::Residual);
const INT8: Held = Held::Weight(Precision::Stochastic);

impl Case {
    /// `count` parameters of 0.
    fn new(held: Held, count: usize, momentum: f32, bits: u8, batch: u16) -> Case {
        let mut bench = Bench::default();
        let parameter = match held {
            Held::Weight(Precision::Residual) => bench.state(&vec![0i16; count]),
            Held::Weight(_) => bench.state(&vec![0i8; count]),
            Held::Bias => bench.state(&vec![0i32; count]),
        };
        let mut optimizer = Optimizer { batch, random: bench.state(&[1u32]), ..Default::default() };
        if momentum > 0.0 {
            optimizer.momentum = Optimizer::momentum_of(momentum);
            optimizer.bits = bits;
            optimizer.velocity = bench.state(&vec![0u8; count * usize::from(bits / 8)]);
        }
        if batch > 1 {
            optimizer.sum = match held {
                Held::Bias => bench.state(&vec![0i32; count]),
                Held::Weight(_) => bench.state(&vec![0i16; count]),
            };
            optimizer.counter = bench.state(&[0u32]);
        }
        Case { bench, held, parameter, optimizer, count }
    }

    /// A sample whose step is `step` for every parameter.
    fn sample(&mut self, step: f64) {
        let sum = if step < 0.0 { -1 } else { 1 };
        let pace = Pace { rate: step.abs() as f32 * 1024.0, exponent: -10 };
        let stride = pace.shared(self.optimizer.batch).times(1.0);
        let (held, count, parameter) = (self.held, self.count, self.parameter);
        let optimizer = self.optimizer;
        self.bench.with(|m| {
            let mut open = Optimized::open(&mut m.state, parameter, held, &optimizer).unwrap();
            open.ensure_len(count).unwrap();
            open.advance(0, count, |_| (stride, sum));
        });
    }

    /// The parameters in units of their step.
    fn read(&self) -> Vec<f64> {
        let slot = self.parameter;
        match self.held {
            Held::Weight(Precision::Residual) => {
                self.bench.read::<i16>(slot).iter().map(|&m| m as f64 / 256.0).collect()
            }
            Held::Weight(_) => {
                self.bench.read::<i8>(slot).iter().map(|&c| expand(c) as f64 / 4.0).collect()
            }
            Held::Bias => self.bench.read::<i32>(slot).iter().map(|&b| b as f64).collect(),
        }
    }

    fn mean(&self) -> f64 {
        self.read().iter().sum::<f64>() / self.count as f64
    }
}

/// The definition, in f64.
#[derive(Default)]
struct Exact {
    parameter: f64,
    velocity: f64,
    sum: f64,
    samples: u16,
}

impl Exact {
    fn sample(&mut self, step: f64, momentum: f64, batch: u16) {
        self.sum += step / f64::from(batch);
        self.samples += 1;
        if self.samples == batch {
            self.velocity = momentum * self.velocity + self.sum;
            self.parameter -= self.velocity;
            (self.sum, self.samples) = (0.0, 0);
        }
    }
}

/// Each parameter stays near the definition, and their mean is it: what rounding adds has no
/// direction. A velocity's rounding by up to one unit counts `1 / (1 - mu)` of it in the parameter,
/// with a standard deviation of half a unit a step at most, and a parameter's own half of its unit.
#[test]
fn momentum_and_batches_are_those_of_their_definition() {
    let (count, samples) = (1024, 96);
    for held in [WEIGHT, INT8, Held::Bias] {
        let widths: &[u8] = if held == Held::Bias { &[32] } else { &[8, 16] };
        for &bits in widths {
            for (momentum, batch) in [(0.9f32, 1), (0.5, 4), (0.0, 8), (0.99, 2), (0.0, 3)] {
                let mut case = Case::new(held, count, momentum, bits, batch);
                let mut random = Random::new(u64::from(batch));
                let mut exact = Exact::default();
                for _ in 0..samples {
                    // Mostly much below a step, and below what 8 bits hold at once.
                    let step = random.within(-900, 1100) as f64 / 32768.0;
                    case.sample(step);
                    exact.sample(step, momentum.into(), batch);
                }
                let (velocity, parameter): (f64, f64) = match (held, bits) {
                    (Held::Bias, _) => (1.0 / f64::from(1 << BIAS_BITS), 1.0),
                    (INT8, 8) => (1.0 / f64::from(1 << NARROW_BITS), 1.0),
                    (INT8, _) => (1.0 / f64::from(1 << WIDE_BITS), 1.0),
                    (_, 8) => (1.0 / f64::from(1 << NARROW_BITS), 1.0 / 256.0),
                    _ => (1.0 / f64::from(1 << WIDE_BITS), 1.0 / 256.0),
                };
                let sum = if held == Held::Bias { 0.0625 } else { 1.0 / f64::from(1 << SUM_BITS) };
                let updates = f64::from(samples / i32::from(batch));
                let reach = updates.min(1.0 / (1.0 - f64::from(momentum)));
                // Variance of a sum of roundings, half a unit each.
                let variance = updates * (0.5 * parameter).powi(2)
                    + updates * (0.5 * velocity * reach).powi(2)
                    + f64::from(samples) * (0.5 * sum * reach).powi(2);
                let deviation = variance.sqrt();
                let what = format!("{held:?} {bits} {momentum} {batch}");
                for value in case.read() {
                    let off = (value - exact.parameter).abs();
                    assert!(off <= 6.0 * deviation, "{what}: {value} {}", exact.parameter);
                }
                let off = (case.mean() - exact.parameter).abs();
                let allowed =
                    4.0 * deviation / (count as f64).sqrt() + 1e-3 * exact.parameter.abs();
                assert!(off <= allowed, "{what}: off by {off}, {allowed} allowed");
            }
        }
    }
}

/// To the nearest, a velocity of a unit would stay one for ever; at random it decays in the mean.
#[test]
fn small_velocities_decay() {
    for bits in [8, 16] {
        let mut case = Case::new(WEIGHT, 4096, 0.9, bits, 1);
        let unit = 1.0 / f64::from(1 << if bits == 8 { NARROW_BITS } else { WIDE_BITS });
        case.sample(3.0 * unit);
        for _ in 0..200 {
            case.sample(0.0);
        }
        let velocity: Vec<u8> = case.bench.read(case.optimizer.velocity);
        assert!(velocity.iter().all(|&byte| byte == 0), "{bits}");
        // A geometric series: 3 / (1 - 0.9) units.
        assert!((case.mean() + 30.0 * unit).abs() < 2.5 * unit, "{bits}: {}", case.mean());
    }
}

#[test]
fn a_batch_is_one_step_of_the_mean() {
    for (held, bound) in [(WEIGHT, 2.0 / 256.0), (INT8, 0.2501), (Held::Bias, 1.5)] {
        let mut case = Case::new(held, 64, 0.0, 0, 4);
        let steps = [2.75, -1.5, 0.003, 3.9];
        for step in steps {
            assert!(case.read().iter().all(|&p| p == 0.0), "moved before its batch is whole");
            case.sample(step);
        }
        let mean = steps.iter().sum::<f64>() / 4.0;
        assert!(case.read().iter().all(|p| (p + mean).abs() < bound), "{held:?}");
        assert_eq!(case.bench.read::<u32>(case.optimizer.counter), [0]);
        let sums: Vec<u8> = case.bench.read(case.optimizer.sum);
        assert!(sums.iter().all(|&byte| byte == 0));
    }
}

#[test]
fn nothing_wraps() {
    for (held, bits) in [(WEIGHT, 8), (WEIGHT, 16), (INT8, 8), (INT8, 16), (Held::Bias, 32)] {
        for batch in [1, 2, 256] {
            let mut case = Case::new(held, 3, 0.999, bits, batch);
            for step in [1e9, -1e9] {
                let mut before = case.mean();
                // Until what was built up the other way is used up.
                let turn = 2000;
                for sample in 0..turn + 80 * i32::from(batch) {
                    case.sample(step);
                    let after = case.mean();
                    let against = (after - before) * step > 0.0;
                    assert!(sample < turn || !against, "{held:?} {bits} {batch}: wrapped");
                    before = after;
                }
            }
            let most = match held {
                WEIGHT => 32639.0 / 256.0,
                Held::Weight(_) => 118.0,
                Held::Bias => continue,
            };
            assert_eq!(case.mean(), most, "{held:?} {bits} {batch}");
        }
    }
}

/// Steps are clipped sample by sample: one of a batch counts its share of 4 at most.
#[test]
fn each_sample_is_clipped() {
    let mut case = Case::new(WEIGHT, 8, 0.0, 0, 4);
    for step in [1e6, 0.0, 0.0, 0.0] {
        case.sample(step);
    }
    assert!(case.read().iter().all(|p| (p + 1.0).abs() < 1.0 / 128.0));
}

#[test]
fn damaged_counts_end_their_batch() {
    let mut case = Case::new(WEIGHT, 1, 0.0, 0, 4);
    let (counter, optimizer, parameter) = (case.optimizer.counter, case.optimizer, case.parameter);
    case.bench.with(|m| {
        m.state.bytes_mut()[counter.start()..counter.end()].fill(0xFF);
        let open = Optimized::open(&mut m.state, parameter, WEIGHT, &optimizer).unwrap();
        assert!(!open.rests());
        assert_eq!(m.state.bytes()[counter.start()..counter.end()], [0; 4]);
    });
}
