//! The passes that file tests run, each from a forward graph; the verifier runs after every one.
//!
//! To add a pass: a function that gives its value, and one line in [`PASSES`].

use offshoot::adapt::{adapt, HeadStart};
use offshoot::band::band;
use offshoot::differentiate::differentiate;
use offshoot::ir::{parse, print, verify, Constants, Graph};
use offshoot::lower::{self, lower, Lowered};
use offshoot::place::{self, Placed};
use offshoot::prune::prune;
use offshoot::schedule::schedule;
use offshoot::scheme::Scheme;

/// What the header of a file asks for, beside the pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Short form of the update scheme.
    pub scheme: Option<String>,
    /// Lines of the update scheme as a TOML file.
    pub toml: Option<String>,
    /// Bytes of SRAM that it must fit.
    pub sram: Option<u64>,
    /// What the head starts from.
    pub head: Option<HeadStart>,
}

/// From the text of a graph to what the pass makes of it, or its message.
pub type Pass = fn(&str, &Options) -> Result<String, String>;

/// All passes by name.
pub const PASSES: &[(&str, Pass)] = &[
    ("print", |text, _| round_trip(text)),
    ("verify", |text, _| checked(text).map(|_| "ok\n".into())),
    ("adapt", |text, options| adapted(text, options).map(|g| shown(&g))),
    ("differentiate", |text, options| differentiated(text, options).map(|g| shown(&g))),
    ("prune", |text, options| pruned(text, options).map(|g| shown(&g))),
    ("lower_forward", |text, _| inference(text).map(|l| program(&l))),
    ("lower", |text, options| lowered(text, options).map(|l| program(&l))),
    ("band", |text, _| inference(text).map(|l| program(&band(&l)))),
    ("schedule", |text, options| lowered(text, options).map(|l| program(&schedule(&l)))),
    ("place", |text, options| placed(text, options).map(|p| place::print(&p))),
];

fn message(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn shown(graph: &Graph) -> String {
    print(graph, Constants::Elided)
}

/// A lowered program, but for the size of its scratch memory, which is the kernels' own affair.
fn program(lowered: &Lowered) -> String {
    let scratch = format!(" scratch {}", lowered.header.scratch);
    lower::print(lowered).replacen(&scratch, "", 1)
}

fn round_trip(text: &str) -> Result<String, String> {
    let graph = parse(text).map_err(message)?;
    let printed = print(&graph, Constants::Full);
    match parse(&printed) {
        Ok(again) if again == graph => Ok(printed),
        Ok(_) => Err("the printed graph parses to another one".into()),
        Err(error) => Err(format!("the printed graph does not parse: {error}")),
    }
}

fn verified(graph: Graph) -> Result<Graph, String> {
    verify(&graph).map_err(message)?;
    Ok(graph)
}

fn checked(text: &str) -> Result<Graph, String> {
    verified(parse(text).map_err(message)?)
}

fn scheme(options: &Options) -> Result<Scheme, String> {
    match options {
        Options { toml: Some(toml), .. } => Scheme::from_toml(toml).map_err(message),
        Options { scheme: Some(short), .. } => Scheme::from_short(short).map_err(message),
        _ => Ok(Scheme::default()),
    }
}

fn adapted(text: &str, options: &Options) -> Result<Graph, String> {
    let scheme = scheme(options)?;
    let head = options.head.unwrap_or(HeadStart::Classifier);
    verified(adapt(&checked(text)?, head, &scheme).map_err(message)?)
}

/// A file that asks for no head and no scheme gives a graph that is marked by hand.
fn differentiated(text: &str, options: &Options) -> Result<Graph, String> {
    let asked = *options != Options::default();
    let graph = if asked { adapted(text, options)? } else { checked(text)? };
    verified(differentiate(&graph, &scheme(options)?).map_err(message)?)
}

fn pruned(text: &str, options: &Options) -> Result<Graph, String> {
    verified(prune(&differentiated(text, options)?))
}

/// The forward graph alone, as a program that only infers.
fn inference(text: &str) -> Result<Lowered, String> {
    lower(&checked(text)?).map_err(message)
}

fn lowered(text: &str, options: &Options) -> Result<Lowered, String> {
    lower(&pruned(text, options)?).map_err(message)
}

/// In bands, scheduled, placed, checked, and held against the memory that the file gives.
fn placed(text: &str, options: &Options) -> Result<Placed, String> {
    let scheduled = schedule(&band(&lowered(text, options)?));
    let plan = place::place(&scheduled).map_err(message)?;
    let placed = place::apply(&scheduled, &plan);
    place::check(&placed).map_err(message)?;
    place::check_budget(&placed, options.sram.unwrap_or(u64::MAX)).map_err(message)?;
    Ok(placed)
}
