//! The whole pipeline: from an imported graph to a placed program, verified after every pass.

use offshoot_runtime::hash;
use offshoot_runtime::program::op::Precision;
use offshoot_simulator::{AlignedBytes, ProgramError, ProgramFile};

use crate::adapt::{adapt, AdaptError, HeadStart};
use crate::band::band;
use crate::differentiate::{differentiate, DifferentiateError};
use crate::ir::{print, verify, Constants, Graph, VerifyError};
use crate::lower::{lower, LowerError};
use crate::place::{self, PlaceError, Placed, PlanError};
use crate::prune::prune;
use crate::schedule::Order;
use crate::scheme::Scheme;
use crate::trim::{schedule_trimmed, Trim};

/// A network cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Head or scheme do not fit the network.
    #[error(transparent)]
    Adapt(#[from] AdaptError),
    /// No gradient where one is needed.
    #[error(transparent)]
    Differentiate(#[from] DifferentiateError),
    /// An op has no integer form.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// No plan, or none that fits.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A pass broke the graph: a defect of the compiler.
    #[error("internal error after {pass}: {error}; please report it with the model")]
    Verify {
        /// The pass.
        pass: &'static str,
        /// What it broke.
        error: VerifyError,
    },
    /// The planner made a plan that its checker refuses: a defect of the compiler.
    #[error("internal error in the memory plan: {0}; please report it with the model")]
    Plan(#[from] PlanError),
    /// The runtime refuses the program: a defect of the compiler.
    #[error("internal error in the program: {0}; please report it with the model")]
    Program(#[from] ProgramError),
}

/// How a sample comes to the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// As a whole.
    #[default]
    Whole,
    /// A few rows at a time, as a camera gives them: the arena need not hold all of it.
    Rows,
}

/// A compiled network.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The training step in real numbers: what the float reference runs.
    pub graph: Graph,
    /// The same in integers, placed.
    pub placed: Placed,
    /// The program.
    pub program: ProgramFile,
    /// How it was laid out.
    pub layout: Layout,
}

/// How a step runs in memory. Whatever is chosen, a program computes the same, bit for bit: only what
/// it needs of SRAM and flash differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Whether parts of the forward pass may run in bands.
    pub bands: bool,
    /// In which order ops run.
    pub order: Order,
    /// How a sample comes.
    pub input: Input,
    /// What is done for fewer live bytes.
    pub trim: Trim,
}

impl Default for Layout {
    fn default() -> Self {
        Layout { bands: true, order: Order::Least, input: Input::Whole, trim: Trim::default() }
    }
}

/// Compiles `graph`, which [`crate::import`] gave, to learn as `scheme` says, in the least memory.
///
/// # Errors
/// What the network, the scheme or the pipeline does not allow.
pub fn compile(graph: &Graph, start: HeadStart, scheme: &Scheme) -> Result<Compiled, CompileError> {
    compile_in(graph, start, scheme, Layout::default())
}

/// The same in another layout.
///
/// # Errors
/// Those of [`compile`].
pub fn compile_in(
    graph: &Graph,
    start: HeadStart,
    scheme: &Scheme,
    layout: Layout,
) -> Result<Compiled, CompileError> {
    compile_adapted(adapt(graph, start, scheme)?, scheme, layout)
}

/// Compiles `graph`, which has its head, if it is to have one, and marks on what is trained, to learn by the loss
/// and the optimizer of `scheme`.
///
/// # Errors
/// What the network, the scheme or the pipeline does not allow.
pub fn compile_adapted(
    graph: Graph,
    scheme: &Scheme,
    layout: Layout,
) -> Result<Compiled, CompileError> {
    let after = |pass: &'static str, graph: Graph| match verify(&graph) {
        Ok(()) => Ok(graph),
        Err(error) => Err(CompileError::Verify { pass, error }),
    };
    let adapted = after("adapt", graph)?;
    let differentiated = after("differentiate", differentiate(&adapted, scheme)?)?;
    let training = after("prune", prune(&differentiated))?;
    finish(training, layout)
}

/// Compiles `graph` for inference alone: the network as it was imported.
///
/// # Errors
/// What the pipeline does not allow.
pub fn compile_inference(graph: &Graph) -> Result<Compiled, CompileError> {
    finish(graph.clone(), Layout::default())
}

/// What tells the program of one training graph from that of another, and its state from any of another
/// meaning.
pub fn model_hash(graph: &Graph) -> u64 {
    let printed = hash::fnv1a(hash::EMPTY, print(graph, Constants::Elided).as_bytes());
    let mut trained = graph.tensors().filter_map(|(_, tensor)| tensor.trained.as_ref());
    // Before they were companded differences, stochastic weights were the weights themselves.
    match trained.any(|t| t.precision == Precision::Stochastic) {
        true => hash::fnv1a(printed, b"companded"),
        false => printed,
    }
}

fn finish(graph: Graph, layout: Layout) -> Result<Compiled, CompileError> {
    let mut lowered = lower(&graph)?;
    lowered.header.model_hash = model_hash(&graph);
    if layout.input == Input::Rows {
        lowered = lowered.receiving();
    }
    if layout.bands {
        lowered = band(&lowered);
    }
    let lowered = schedule_trimmed(&lowered, layout.order, layout.trim);
    let plan = place::place(&lowered)?;
    let placed = place::apply(&lowered, &plan);
    place::check(&placed)?;
    let program = ProgramFile {
        header: placed.header,
        init: placed.init.clone(),
        ops: placed.ops.clone(),
        constants: AlignedBytes::copy_of(&placed.constants),
        feature_energy: graph.feature_energy,
    };
    // Written and read back: what leaves the compiler has passed the runtime's verifier.
    let program = ProgramFile::decode(&program.encode()?)?;
    Ok(Compiled { graph, placed, program, layout })
}
