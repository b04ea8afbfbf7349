//! Tensors that share bytes of the arena do no harm: random networks under random update schemes train
//! as they do where every tensor has bytes of its own, in the order of the graph and without bands.

use offshoot::adapt::{layers, HeadStart};
use offshoot::ir::Graph;
use offshoot::lower::{lower, root, tensor, Lowered};
use offshoot::ops::Op;
use offshoot::pipeline::{compile_in, Compiled, Input, Layout};
use offshoot::place::{check, Placed};
use offshoot::scheme::{Layer, Layers, Loss, Optimizer, Scheme, WeightRule};
use offshoot::trim::Trim;
use offshoot_runtime::program::op::{self as rt, Precision};
use offshoot_runtime::{Interpreter, Memory, Slot, Trainer};
use offshoot_simulator::{AlignedBytes, ProgramFile};
use offshoot_tests::nets;
use offshoot_tests::random::Random;

const NETWORKS: u64 = 1200;
const STEPS: usize = 3;

/// A small random network; one in ten reproduces its input.
fn network(seed: u64, random: &mut Random) -> Graph {
    match random.below(10) {
        0 => nets::denoiser(seed),
        1 => nets::separable(seed, 8 + random.below(25), 4 + random.below(5), 2 + random.below(3)),
        // Even sizes: the shortcut sees every other pixel.
        2 => nets::resnet(seed, 6 + 2 * random.below(10), 3 + random.below(4)),
        3 => nets::residual(seed),
        4 => nets::tangled(seed),
        5..=7 => {
            let [h, w] = [12, 5].map(|least| least + random.below(12));
            nets::any_on(seed, [h, w, 3])
        }
        _ => nets::any(seed),
    }
}

/// A random scheme for `graph`.
fn scheme(graph: &Graph, random: &mut Random) -> Scheme {
    let input = graph.input.map(|t| graph.tensor(t).shape.clone());
    let output = graph.output.map(|t| graph.tensor(t).shape.clone());
    let reproduces = input == output;
    let nodes = layers(graph);
    // The last one becomes the head.
    let count = nodes.len() - usize::from(!reproduces);
    // All layers, or the last ones: the front of the network then often runs in bands.
    let first = [0, count - count / 3][random.below(2)];
    let mut weights = Vec::new();
    let chosen = random.below(count - first + 1);
    for index in random.sample(count - first, chosen).into_iter().map(|at| first + at) {
        let Op::Conv2d(conv) = &nodes[index].op else { continue };
        let channels = graph.tensor(nodes[index].inputs[0]).shape[3];
        // All channels of a grouped convolution, or none.
        let whole = conv.groups > 1 && conv.groups < channels;
        let share = if whole { 1.0 } else { [1.0, 0.75, 0.5, 0.25][random.below(4)] };
        weights.push(WeightRule { layer: Layer::Index(index), channels: share });
    }
    let biases = match random.below(4) {
        0 if first == 0 => Layers::Word("all".into()),
        1 => {
            let some = random.sample(count - first, 3).into_iter();
            Layers::Named(some.map(|at| Layer::Index(first + at)).collect())
        }
        _ => Layers::Last(random.below(count - first + 1)),
    };
    let loss = match random.below(4) {
        _ if reproduces => Loss::MeanSquare,
        0 => Loss::Sigmoid,
        1 => Loss::Softmax { smoothing: 0.1, weights: Vec::new() },
        _ => Loss::default(),
    };
    let optimizer = Optimizer {
        momentum: [0.0, 0.9][random.below(2)],
        momentum_bits: [8, 16][random.below(2)],
        batch: 1 + random.below(2) as u16,
    };
    let precision = [Precision::Residual, Precision::Stochastic][random.below(2)];
    let nothing = match &biases {
        Layers::Last(count) => *count == 0 && weights.is_empty(),
        Layers::Named(named) => named.is_empty() && weights.is_empty(),
        Layers::Word(_) => false,
    };
    let biases = if reproduces && nothing { Layers::Last(1) } else { biases };
    Scheme { precision, biases, weights, loss, optimizer }
}

/// The program of `lowered` with bytes of its own for every tensor.
fn apart(lowered: &Lowered) -> ProgramFile {
    let mut offsets = vec![0];
    for buffer in &lowered.buffers {
        offsets.push(offsets[offsets.len() - 1] + buffer.bytes.next_multiple_of(8));
    }
    let own_bytes = |slot: &mut Slot| {
        if slot.memory == Memory::Arena && !slot.is_empty() {
            let (tensor, at) = tensor(&lowered.buffers, slot.start());
            slot.offset = offsets[tensor] + at;
        }
    };
    let (mut header, mut ops) = (lowered.header, lowered.ops.clone());
    ops.iter_mut().for_each(|op| op.visit(&mut |_, slot| own_bytes(slot)));
    own_bytes(&mut header.input);
    own_bytes(&mut header.output);
    header.arena = offsets[offsets.len() - 1];
    let constants = AlignedBytes::copy_of(&lowered.constants);
    ProgramFile { header, init: lowered.init.clone(), ops, constants, feature_energy: None }
}

/// What training is seen by: after each step the loss and all state, and what is inferred then.
type Trace = Vec<(u32, Vec<u8>, Vec<u8>)>;

/// Trains `file`, verified, on random samples; none where a kernel refuses.
fn trained(file: &ProgramFile, seed: u64) -> Option<Trace> {
    let header = file.header;
    let [mut arena, mut state, mut scratch] = [header.arena, header.state, header.scratch]
        .map(|bytes| AlignedBytes::zeroed(bytes as usize));
    let (arena, state) = (arena.as_mut(), state.as_mut());
    let mut interpreter = Interpreter::new(file.program(), arena, state, scratch.as_mut()).ok()?;
    let mut random = Random::new(seed);
    let mut trace = Trace::new();
    for _ in 0..STEPS {
        let sample: Vec<i8> =
            (0..header.input_shape.elements()).map(|_| random.integer(-128, 127) as i8).collect();
        let label = random.below(header.classes.max(1).into()) as u16;
        interpreter.present(&sample).ok()?;
        let loss = interpreter.train(label, 0.02).ok()?.loss.to_bits();
        interpreter.present(&sample).ok()?;
        interpreter.infer().ok()?;
        let output = header.output.start()..header.output.end();
        let inferred = interpreter.machine().arena.bytes()[output].to_vec();
        trace.push((loss, interpreter.state().to_vec(), inferred));
    }
    Some(trace)
}

/// As the runtime's verifier lets it pass.
fn verified(file: &ProgramFile) -> Option<ProgramFile> {
    ProgramFile::decode(&file.encode().ok()?).ok()
}

/// A network under a scheme, compiled, and how it trains where no byte is shared.
fn compiled(seed: u64) -> (Compiled, Trace) {
    let random = &mut Random::new(seed);
    let graph = network(seed, random);
    let scheme = scheme(&graph, random);
    // Every second one takes its sample in rows.
    let input = [Input::Whole, Input::Rows][(seed % 2) as usize];
    // And one in three may compute all again.
    let recompute = [Trim::default().recompute, 0, 100][(seed % 3) as usize];
    let layout = Layout { input, trim: Trim { recompute, ..Trim::default() }, ..Layout::default() };
    let compiled = compile_in(&graph, HeadStart::Classifier, &scheme, layout)
        .unwrap_or_else(|e| panic!("seed {seed}, {scheme:?}: {e}"));
    let lowered = lower(&compiled.graph).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    let file = verified(&apart(&lowered)).unwrap_or_else(|| panic!("seed {seed}: unverified"));
    let trace = trained(&file, seed).unwrap_or_else(|| panic!("seed {seed}: a fault"));
    (compiled, trace)
}

/// Whether the op's output takes the place of an input.
fn writes_over(op: &rt::Op) -> bool {
    op.in_place().is_some_and(|over| !over.output.is_empty() && over.inputs.contains(&over.output))
}

#[test]
fn random_networks_train_as_where_no_byte_is_shared() {
    let (mut banded, mut learnt, mut shared, mut over, mut again) = (0, 0, 0u64, 0, 0);
    for seed in 0..NETWORKS {
        let (compiled, expected) = compiled(seed);
        let placed = &compiled.placed;
        check(placed).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let found = trained(&compiled.program, seed).expect("no fault");
        let same = found.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!(same, None, "seed {seed}: the first step that differs");
        banded += u32::from(!placed.bands.is_empty());
        let moved = expected.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
        learnt += u32::from(moved == STEPS - 1);
        let whole: u64 =
            placed.buffers.iter().filter(|b| b.within.is_none()).map(|b| u64::from(b.bytes)).sum();
        shared += u64::from(whole > 2 * u64::from(placed.header.arena));
        again += u32::from(!placed.again.is_empty());
        over += u32::from(placed.ops.iter().any(writes_over));
    }
    println!(
        "{NETWORKS} networks: {banded} in bands, {over} with ops in place, {again} with ops run again, {shared} in less than half the bytes of their tensors, {learnt} with every step another state"
    );
    assert!(banded > 100 && shared > 600, "{banded}, {shared}");
    assert!(over > 100 && again > 100, "{over}, {again}");
    assert!(learnt > 1000, "{learnt}");
}

/// `placed` with the tensor of a place of its own `which` at another offset.
fn moved(placed: &Placed, which: usize, offset: u32) -> Placed {
    let mut moved = placed.clone();
    let old = placed.plan.offsets[which];
    let shift = |slot: &mut Slot, buffer: u32| {
        if root(&placed.buffers, buffer as usize).0 == which {
            slot.offset = slot.offset - old + offset;
        }
    };
    let tensors = placed.tensors.clone();
    for (op, of_op) in moved.ops.iter_mut().zip(&tensors.of_op) {
        let mut of_op = of_op.iter();
        op.visit(&mut |_, slot| {
            if slot.memory == Memory::Arena && !slot.is_empty() {
                shift(slot, *of_op.next().expect("a tensor for every slot"));
            }
        });
    }
    for (slot, buffer) in
        [(&mut moved.header.input, tensors.input), (&mut moved.header.output, tensors.output)]
    {
        if let Some(buffer) = buffer {
            shift(slot, buffer);
        }
    }
    moved.plan.offsets[which] = offset;
    let end = offset + placed.buffers[which].bytes;
    moved.plan.peak = moved.plan.peak.max(end.next_multiple_of(8));
    moved.header.arena = moved.plan.peak;
    moved
}

/// Both the checker and the comparison can fail: a tensor that is moved onto one that lives beside it
/// is found by the checker every time, and by the comparison nearly so.
#[test]
fn a_tensor_moved_onto_another_is_found() {
    let (mut mutants, mut refused, mut differ) = (0, 0, 0);
    for seed in 0..150 {
        let (compiled, expected) = compiled(seed);
        let placed = &compiled.placed;
        let places: Vec<usize> =
            (0..placed.buffers.len()).filter(|&b| placed.plan.live[b].is_some()).collect();
        let random = &mut Random::new(seed);
        let [a, b] = [0; 2].map(|_| places[random.below(places.len())]);
        let meet = placed.plan.live[a].zip(placed.plan.live[b]).is_some_and(|(a, b)| a.meets(&b));
        if a == b || !meet {
            continue;
        }
        mutants += 1;
        let mutant = moved(placed, a, placed.plan.offsets[b]);
        let is_refused = check(&mutant).is_err();
        refused += u32::from(is_refused);
        let file =
            ProgramFile { header: mutant.header, ops: mutant.ops, ..compiled.program.clone() };
        // What the verifier or a kernel refuses differs too.
        let found = verified(&file).and_then(|file| trained(&file, seed));
        let is_same = found.is_some_and(|found| found == expected);
        differ += u32::from(!is_same);
        assert!(is_refused || is_same, "seed {seed}: the checker misses what training shows");
    }
    println!("{mutants} mutants: {refused} refused by the checker, {differ} train otherwise");
    assert!(mutants > 40 && refused == mutants, "{refused} of {mutants}");
    assert!(differ * 10 > mutants * 8, "{differ} of {mutants}");
}
