use super::*;
use crate::program::op::{
    BiasOptimize, ConvUpdate, DepthwiseUpdate, Error, HeadOptimize, Init, Optimizer,
};
use crate::program::Header;
use crate::Interpreter;

fn slot(offset: u32, bytes: u32) -> Slot {
    Slot::new(Memory::State, offset, bytes)
}

/// In state: a tracker, 2 biases, a head of 3 latent weights, its velocity, sum and counter, 5 weights of
/// a byte, random state, 2 latent weights. Updates come in another order.
fn ops() -> [Op; 4] {
    let trained = |precision, latent| Weights { precision, latent, ..Weights::default() };
    let random = slot(48, 4);
    let error = Error { tracker: slot(0, 8), ..Error::default() };
    let optimizer = Optimizer {
        velocity: slot(24, 6),
        sum: slot(32, 2),
        counter: slot(36, 4),
        random,
        ..Optimizer::default()
    };
    let head = HeadUpdate { error, latent: slot(16, 6), ..HeadUpdate::default() };
    [
        ConvUpdate {
            error,
            weights: trained(Precision::Stochastic, slot(40, 5)),
            random,
            ..ConvUpdate::default()
        }
        .into(),
        HeadOptimize { update: head, optimizer }.into(),
        DepthwiseUpdate {
            weights: trained(Precision::Residual, slot(52, 4)),
            ..DepthwiseUpdate::default()
        }
        .into(),
        BiasOptimize {
            update: BiasUpdate { bias: slot(8, 8), ..BiasUpdate::default() },
            ..BiasOptimize::default()
        }
        .into(),
    ]
}

const STATE: usize = 56;
/// 2 biases, 3 latent weights, 5 of a byte, 2 latent ones.
const IMAGE: usize = 8 + 8 + 8 + 4;

#[repr(align(8))]
struct State([u8; STATE]);

fn with<R>(init: &[Init], run: impl FnOnce(&mut Interpreter<'_>) -> R) -> R {
    let (ops, mut state) = (ops(), State([0; STATE]));
    let constants: [u8; 8] = [1, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF];
    let header = Header { state: STATE as u32, ..Header::default() };
    let program = Program { header, init, ops: &ops, constants: &constants, feature_energy: None };
    run(&mut Interpreter::new(program, &mut [], &mut state.0, &mut []).unwrap())
}

fn numbered(trainer: &mut Interpreter<'_>) {
    trainer.state_mut().iter_mut().zip(1..).for_each(|(byte, n)| *byte = n);
}

/// Takes the image out, so many bytes at a time.
fn image(trainer: &Interpreter<'_>, step: usize) -> Vec<u8> {
    let (mut walk, mut image) = (Walk::default(), Vec::new());
    loop {
        let mut bytes = vec![0xAA; step];
        let taken = walk.take(trainer, &mut bytes);
        image.extend_from_slice(&bytes[..taken]);
        if taken == 0 {
            return image;
        }
    }
}

#[test]
fn parts_come_as_they_lie_and_what_is_not_learnt_is_none() {
    with(&[], |trainer| {
        let (mut parts, mut from) = (Vec::new(), 0);
        while let Some(part) = trainer.part(from) {
            parts.push((part.slot.offset, part.slot.bytes, part.kind));
            from = part.slot.end() as u32;
        }
        let expected = [
            (8, 8, Kind::Bias),
            (16, 6, Kind::Latent),
            (24, 6, Kind::Course),
            (32, 2, Kind::Course),
            (36, 4, Kind::Course),
            (40, 5, Kind::Weight),
            (52, 4, Kind::Latent),
        ];
        assert_eq!(parts, expected);
        assert_eq!(length(trainer) as usize, IMAGE);
        let program = Program {
            header: Header::default(),
            init: &[],
            ops: &ops(),
            constants: &[],
            feature_energy: None,
        };
        assert_eq!(program.learnt_bytes() as usize, IMAGE);
    });
}

#[test]
fn an_image_is_taken_out_and_put_back_in_steps_of_any_size() {
    with(&[], |trainer| {
        numbered(trainer);
        let whole = image(trainer, 64);
        let expected: Vec<u8> = [9..=16, 17..=22].into_iter().flatten().collect();
        assert_eq!(whole[..14], expected);
        assert_eq!(whole[14..16], [0, 0]);
        assert_eq!(whole[16..], [41, 42, 43, 44, 45, 0, 0, 0, 53, 54, 55, 56]);
        for step in [4, 8, 12, 20, 28, 256] {
            assert_eq!(image(trainer, step), whole);
            let mut other = vec![7; STATE];
            trainer.state_mut().copy_from_slice(&other);
            let mut walk = Walk::default();
            whole.chunks(step).for_each(|bytes| walk.put(trainer, bytes));
            for range in [8..22, 40..45, 52..56] {
                range.for_each(|at| other[at] = at as u8 + 1);
            }
            assert_eq!(trainer.state(), other);
        }
        clear_course(trainer);
        let zeroed: Vec<usize> = (0..STATE).filter(|&at| trainer.state()[at] == 0).collect();
        assert_eq!(zeroed, [24, 25, 26, 27, 28, 29, 32, 33, 36, 37, 38, 39]);
    });
}

#[test]
fn first_content_comes_back_and_the_course_of_training_stays() {
    let constant = Slot::new(Memory::Constant, 0, 8);
    with(&[Init::Copy { from: constant, to: slot(8, 8) }], |trainer| {
        let fresh = trainer.state().to_vec();
        assert_eq!(fresh[8..16], [1, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF]);
        numbered(trainer);
        trainer.first().unwrap();
        assert_eq!(trainer.state()[8..16], fresh[8..16]);
        assert_eq!(trainer.state()[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(trainer.state()[48..52], [49, 50, 51, 52]);
        trainer.reset().unwrap();
        assert_eq!(trainer.state(), fresh);
    });
}

/// Blends images, as an application does, in windows of `step` bytes.
fn blend(trainer: &mut Interpreter<'_>, images: &[(Vec<u8>, i32)], step: usize) {
    let mut walk = Walk::default();
    for at in (0..IMAGE).step_by(step) {
        let (bytes, mut sums) = (step.min(IMAGE - at), [0; 64]);
        for (image, weight) in images {
            walk.add(trainer, &image[at..at + bytes], *weight, &mut sums);
        }
        walk.settle(trainer, bytes, &sums);
    }
}

#[test]
fn a_blend_is_rounded_once_and_saturates() {
    const ONE: i32 = 1 << WEIGHT_BITS;
    with(&[], |trainer| {
        // A base of zeros. Biases, latent weights, weights.
        let image_of = |biases: [i32; 2], latent: [i16; 3], weights: [i8; 5], last: [i16; 2]| {
            let mut bytes: Vec<u8> = biases.iter().flat_map(|b| b.to_le_bytes()).collect();
            bytes.extend(latent.iter().flat_map(|b| b.to_le_bytes()));
            bytes.extend([0; 2]);
            bytes.extend(weights.map(|w| w as u8));
            bytes.extend([0; 3]);
            bytes.extend(last.iter().flat_map(|b| b.to_le_bytes()));
            bytes
        };
        let a = image_of([i32::MAX, -7], [30_000, -3, 5], [127, -127, 1, -1, 3], [-32_768, 9]);
        let b = image_of([i32::MAX, 8], [30_000, 2, -5], [127, -127, 2, 0, -3], [-32_768, 1]);
        let blended = |trainer: &mut Interpreter<'_>, parts: &[(Vec<u8>, i32)], step| {
            trainer.state_mut().fill(0);
            blend(trainer, parts, step);
            image(trainer, 64)
        };
        for step in [4, 8, 12, 64] {
            assert_eq!(blended(trainer, &[(a.clone(), ONE)], step), a);
            assert_eq!(blended(trainer, &[(b.clone(), 0), (a.clone(), ONE)], step), a);
            assert_eq!(blended(trainer, &[(a.clone(), 0), (b.clone(), 0)], step), [0; IMAGE]);
            let halves = [(a.clone(), ONE / 2), (b.clone(), ONE / 2)];
            // (-7 + 8) / 2 and (1 + 2) / 2 are rounded up, (-1 + 0) / 2 as well; once, of the sum.
            let half = image_of([i32::MAX, 1], [30_000, 0, 0], [127, -127, 2, 0, 0], [-32_768, 5]);
            assert_eq!(blended(trainer, &halves, step), half);
            let both = [(a.clone(), ONE), (b.clone(), ONE)];
            let sum =
                image_of([i32::MAX, 1], [i16::MAX, -1, 0], [127, -127, 3, -1, 0], [i16::MIN, 10]);
            assert_eq!(blended(trainer, &both, step), sum);
            // Away from the base, the other way.
            let away =
                image_of([-i32::MAX, 7], [-30_000, 3, -5], [-127, 127, -1, 1, -3], [i16::MAX, -9]);
            assert_eq!(blended(trainer, &[(a.clone(), -ONE)], step), away);
        }
    });
}

/// Weights of one bit: 37 of them, after a head of 3 latent weights.
fn with_signs<R>(run: impl FnOnce(&mut Interpreter<'_>) -> R) -> R {
    let weights = |precision, latent| Weights { precision, latent, ..Weights::default() };
    let update = |precision, latent| ConvUpdate {
        weights: weights(precision, latent),
        ..ConvUpdate::default()
    };
    let ops = [
        update(Precision::Residual, slot(0, 6)).into(),
        update(Precision::Sign, slot(8, 37)).into(),
    ];
    let mut state = State([0; STATE]);
    let header = Header { state: STATE as u32, ..Header::default() };
    let program = Program { header, init: &[], ops: &ops, constants: &[], feature_energy: None };
    run(&mut Interpreter::new(program, &mut [], &mut state.0, &mut []).unwrap())
}

#[test]
fn weights_of_one_bit_take_a_bit_in_an_image() {
    with_signs(|trainer| {
        let codes: Vec<i8> = (0..37).map(|n| if n % 3 == 1 { -1 - n } else { 90 - n }).collect();
        let fill = |trainer: &mut Interpreter<'_>, codes: &[i8]| {
            trainer.state_mut()[8..45].iter_mut().zip(codes).for_each(|(to, &c)| *to = c as u8);
        };
        let held = |trainer: &Interpreter<'_>| -> Vec<i8> {
            trainer.state()[8..45].iter().map(|&c| c as i8).collect()
        };
        fill(trainer, &codes);
        trainer.state_mut()[..6].copy_from_slice(&[1, 2, 3, 4, 5, 6]);
        let whole = image(trainer, 64);
        assert_eq!((length(trainer), whole.len()), (16, 16));
        assert_eq!(whole[..8], [1, 2, 3, 4, 5, 6, 0, 0]);
        // Bit n is set where n is 1 above a multiple of 3.
        assert_eq!(
            whole[8..],
            [0b1001_0010, 0b0010_0100, 0b0100_1001, 0b1001_0010, 0b0000_0100, 0, 0, 0]
        );
        let begun: Vec<i8> = codes.iter().map(|&code| start(code)).collect();
        for step in [4, 8, 12, 64] {
            assert_eq!(image(trainer, step), whole);
            trainer.state_mut().fill(7);
            let mut walk = Walk::default();
            whole.chunks(step).for_each(|bytes| walk.put(trainer, bytes));
            assert_eq!(held(trainer), begun, "{step}");
            assert_eq!(trainer.state()[45..], [7; STATE - 45]);
        }
        // 38 sums are enough for the first 3 weights of 2 bytes and 32 signs, 37 are not.
        let walk = Walk::default();
        assert_eq!((walk.span(trainer, 64), walk.span(trainer, 37)), (12, 8));
        assert_eq!(walk.span(trainer, 1000), 16);
        // A base of all positive, blended with the image: wholly, not at all, and by less and more than half.
        const ONE: i32 = 1 << WEIGHT_BITS;
        let flipped = |n: i8, of: &[i8]| of[n as usize] < 0;
        for (weight, flips) in [(ONE, true), (0, false), (ONE * 2 / 5, false), (ONE * 3 / 5, true)]
        {
            fill(trainer, &[start(1); 37]);
            let (mut walk, mut at) = (Walk::default(), 0);
            while at < whole.len() {
                let (bytes, mut sums) = (walk.span(trainer, 40), [0; 40]);
                walk.add(trainer, &whole[at..at + bytes], weight, &mut sums);
                walk.settle(trainer, bytes, &sums);
                at += bytes;
            }
            let blended = held(trainer);
            for n in 0..37 {
                assert_eq!(flipped(n, &blended), flips && n % 3 == 1, "{weight} {n}");
            }
            assert!(weight != ONE || blended == begun);
        }
    });
}
