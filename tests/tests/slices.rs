//! A training step in slices: what may happen between two of them changes no bit, and a step that is
//! given up half way leaves a state to go on from.

use offshoot::adapt::HeadStart;
use offshoot::pipeline::{compile, compile_in, Compiled, Input, Layout};
use offshoot::scheme::Scheme;
use offshoot_runtime::{hash, Fault, Interpreter, Progress, StepReport, Task, Trainer};
use offshoot_simulator::AlignedBytes;
use offshoot_tests::calibrate::calibrated;
use offshoot_tests::cases::DEMO;
use offshoot_tests::check::everything;
use offshoot_tests::nets;
use offshoot_tests::trace::{made_up, round, simulated, Samples};

const STEPS: usize = 20;

/// Memories of a program.
fn memories(compiled: &Compiled) -> [AlignedBytes; 3] {
    let h = &compiled.program.header;
    [h.arena, h.state, h.scratch].map(|bytes| AlignedBytes::zeroed(bytes as usize))
}

/// Ends a task, and does between its slices all that may be done then. How many there were.
fn meddled(trainer: &mut Interpreter<'_>, task: Task) -> (Progress, usize) {
    trainer.begin(task).unwrap();
    for slices in 1.. {
        assert_eq!(trainer.begin(Task::Infer), Err(Fault::Busy));
        assert!(trainer.input().is_empty());
        // Nothing is kept in there from one op to the next.
        trainer.machine().scratch.bytes_mut().fill(0xA5);
        let progress = trainer.slice().unwrap();
        if progress != Progress::More {
            return (progress, slices);
        }
    }
    unreachable!("a program ends")
}

fn in_slices(name: &str, compiled: &Compiled) {
    let data = made_up(compiled, STEPS);
    let [mut arena, mut state, mut scratch] = memories(compiled);
    let program = compiled.program.program();
    let mut trainer =
        Interpreter::new(program, arena.as_mut(), state.as_mut(), scratch.as_mut()).unwrap();
    let (mut trace, mut slices) = (Vec::new(), 0);
    for (index, rate) in round(&data, STEPS).steps() {
        let (sample, label) = data.sample(index);
        trainer.restart();
        let mut rest = sample;
        loop {
            let part = trainer.input();
            let (now, later) = rest.split_at(part.len());
            part.copy_from_slice(now);
            rest = later;
            if (meddled(&mut trainer, Task::Receive).0) == (Progress::Received { more: false }) {
                break;
            }
        }
        let (progress, count) = meddled(&mut trainer, Task::Train { label, rate });
        let Progress::Trained(StepReport { loss, .. }) = progress else { panic!("{progress:?}") };
        trace.push((loss.to_bits(), hash::fnv1a(hash::EMPTY, trainer.state())));
        slices = count;
    }
    assert_eq!(trace, simulated(compiled, &data, STEPS, |_, _| {}), "{name}");
    println!("{name}: {STEPS} steps of {slices} slices equal");
}

#[test]
fn what_happens_between_slices_changes_no_bit() {
    in_slices("demo", &DEMO.compile(None));
    let graph = calibrated(nets::mixed(12), 1);
    let scheme = format!("{},momentum=0.9,batch=3", everything(&graph));
    let scheme = Scheme::from_short(&scheme).unwrap();
    in_slices("mixed", &compile(&graph, HeadStart::Classifier, &scheme).unwrap());
    let graph = calibrated(nets::residual(13), 1);
    let scheme = Scheme::from_short(&everything(&graph)).unwrap();
    let rows = Layout { input: Input::Rows, ..Layout::default() };
    let compiled = compile_in(&graph, HeadStart::Classifier, &scheme, rows).unwrap();
    in_slices("residual, in rows", &compiled);
}

#[test]
fn a_step_that_is_given_up_leaves_a_state_to_go_on_from() {
    let compiled = DEMO.compile(None);
    let data = DEMO.samples(&compiled).train;
    let [mut arena, mut state, mut scratch] = memories(&compiled);
    let program = compiled.program.program();
    let mut trainer =
        Interpreter::new(program, arena.as_mut(), state.as_mut(), scratch.as_mut()).unwrap();
    let start = |trainer: &mut Interpreter<'_>| {
        trainer.reset().unwrap();
        for (sample, label) in (0..3).map(|i| data.sample(i)) {
            trainer.present(sample).unwrap();
            trainer.train(label, 0.01).unwrap();
        }
        trainer.present(data.sample(3).0).unwrap();
    };
    start(&mut trainer);
    let before = trainer.state().to_vec();
    trainer.train(data.sample(3).1, 0.01).unwrap();
    let whole = trainer.state().to_vec();
    let mut between = 0;
    for slices in 0..program.ops.len() {
        start(&mut trainer);
        assert_eq!(trainer.state(), before);
        trainer.begin(Task::Train { label: data.sample(3).1, rate: 0.01 }).unwrap();
        for _ in 0..slices {
            assert_eq!(trainer.slice(), Ok(Progress::More));
        }
        trainer.restart();
        assert_eq!(trainer.slice(), Err(Fault::Idle));
        let half = trainer.state().to_vec();
        between += usize::from(half != before && half != whole);
        for (sample, label) in (4..9).map(|i| data.sample(i)) {
            trainer.present(sample).unwrap();
            assert!(trainer.train(label, 0.01).unwrap().loss.is_finite());
        }
        // Back to what was before it, the step is done again as if nothing had been.
        trainer.state_mut().copy_from_slice(&before);
        trainer.present(data.sample(3).0).unwrap();
        trainer.train(data.sample(3).1, 0.01).unwrap();
        assert_eq!(trainer.state(), whole);
    }
    assert!(between > 3, "{between}");
    println!("{between} states between those before and after a step");
}
