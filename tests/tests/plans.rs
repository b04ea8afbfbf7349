//! A program computes the same however it is laid out in memory: whole or in bands, in whatever order
//! of its ops, training ends in one state, in the simulator and on an emulated Cortex-M4.

use std::collections::BTreeSet;
use std::path::Path;

use offshoot::adapt::HeadStart;
use offshoot::pipeline::{compile_in, Compiled, Input, Layout};
use offshoot::schedule::Order;
use offshoot::scheme::Scheme;
use offshoot::trim::Trim;
use offshoot_tests::calibrate::calibrated;
use offshoot_tests::cases::MCUNET;
use offshoot_tests::nets;
use offshoot_tests::trace::{made_up, on_board, simulated, Samples, Trace};

const STEPS: usize = 20;

const LAYOUTS: [(&str, Layout); 8] = [
    ("whole", layout(false, Order::Least, Input::Whole)),
    ("in bands", layout(true, Order::Least, Input::Whole)),
    ("whole, as lowered", layout(false, Order::Lowered, Input::Whole)),
    ("in bands, as lowered", layout(true, Order::Lowered, Input::Whole)),
    ("whole, drawn", layout(false, Order::Drawn(1), Input::Whole)),
    ("in bands, drawn", layout(true, Order::Drawn(2), Input::Whole)),
    ("sample in rows", layout(true, Order::Least, Input::Rows)),
    ("sample in rows, drawn", layout(true, Order::Drawn(3), Input::Rows)),
];

const fn layout(bands: bool, order: Order, input: Input) -> Layout {
    Layout { bands, order, input, trim: Trim { in_place: true, recompute: 3 } }
}

/// With nothing done for fewer live bytes beside bands, and with all that can be.
const TRIMMED: [(&str, Layout); 4] = [
    ("untrimmed", trimmed(Order::Least, Trim::NONE)),
    ("in place", trimmed(Order::Least, Trim { in_place: true, recompute: 0 })),
    ("much computed again", trimmed(Order::Least, UTMOST)),
    ("drawn, much computed again", trimmed(Order::Drawn(4), UTMOST)),
];

const UTMOST: Trim = Trim { in_place: true, recompute: 100 };

const fn trimmed(order: Order, trim: Trim) -> Layout {
    Layout { bands: false, order, input: Input::Whole, trim }
}

/// Trains in every layout in the simulator, and in those of `emulated` on the board, and compares.
fn same_in_every_layout(
    name: &str,
    samples: &dyn Samples,
    compile: impl Fn(Layout) -> Compiled,
    layouts: &[(&str, Layout)],
    emulated: &[usize],
) {
    let (mut programs, mut first) = (BTreeSet::new(), None);
    for (at, &(layout_name, layout)) in layouts.iter().enumerate() {
        let compiled = compile(layout);
        let (program, placed) = (&compiled.program, &compiled.placed);
        let parts = program.ops.iter().filter(|op| op.name() == "Receive").count();
        assert_eq!(parts > 1, layout.input == Input::Rows, "{layout_name}: {parts} parts");
        assert_eq!(!placed.bands.is_empty(), layout.bands, "{layout_name}");
        programs.insert(format!("{:?}", placed.ops));
        let trace = simulated(&compiled, samples, STEPS, |_, _| {});
        let expected: &Trace = first.get_or_insert_with(|| trace.clone());
        let distinct: BTreeSet<u64> = expected.iter().map(|(_, hash)| *hash).collect();
        assert_eq!(distinct.len(), STEPS, "every step must change the state");
        assert_eq!(&trace, expected, "{name} {layout_name} in the simulator");
        let mut places = "simulator";
        if emulated.contains(&at) {
            let board = offshoot_boards::find("qemu-mps2-an386").unwrap();
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
            let image = format!("{name}-{at}");
            let trace = on_board(board, folder, &image, &compiled, samples, STEPS);
            assert_eq!(&trace, expected, "{name} {layout_name} on the board");
            places = "simulator and Cortex-M4";
        }
        println!(
            "{name} {layout_name}: {} ops, {} of them again, arena {} B, {places}: state {:016x}",
            program.ops.len(),
            placed.again.len(),
            program.header.arena,
            trace[STEPS - 1].1
        );
    }
    assert_eq!(programs.len(), layouts.len(), "layouts must differ");
}

#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn a_network_is_the_same_in_every_layout() {
    let graph = calibrated(nets::separable(21, 48, 8, 4), 1);
    // The front is frozen, so that its activations are not kept and bands pay.
    let scheme = Scheme::from_short("biases=4,5:1/2,7:1,8:1,stochastic").unwrap();
    let compile = |layout| {
        compile_in(&graph, HeadStart::Classifier, &scheme, layout).unwrap_or_else(|e| panic!("{e}"))
    };
    let samples = made_up(&compile(Layout::default()), STEPS);
    same_in_every_layout("separable", &samples, compile, &LAYOUTS, &[0, 1, 2, 5, 7]);
}

/// All of it is trained, so that activations are kept for long and branches meet in the backward pass.
#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn a_residual_network_is_the_same_in_place_and_computed_again() {
    let graph = calibrated(nets::resnet(9, 16, 5), 1);
    let scheme = Scheme::from_short("biases=all,0:1,1:1,2:1,3:1/2,4:1").unwrap();
    let compile = |layout| {
        compile_in(&graph, HeadStart::Classifier, &scheme, layout).unwrap_or_else(|e| panic!("{e}"))
    };
    let samples = made_up(&compile(Layout::default()), STEPS);
    same_in_every_layout("residual", &samples, compile, &TRIMMED, &[0, 2]);
}

#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn mcunet_is_the_same_in_every_layout() {
    if !MCUNET.is_there() {
        return;
    }
    let samples = MCUNET.samples(&MCUNET.compile(None)).train;
    // The board takes its time: what compiles by default is compared there in tests of equal bits.
    let compile = |layout| MCUNET.compile_in(None, layout);
    same_in_every_layout("mcunet", &samples, compile, &LAYOUTS, &[0, 6]);
}
