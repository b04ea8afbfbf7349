//! How near the planner of the arena comes to the lower bound: on instances that are known to be
//! hard, and on networks.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{ensure, Context, Result};
use offshoot::adapt::HeadStart;
use offshoot::import::import;
use offshoot::ir::Graph;
use offshoot::pipeline::{compile_in, Compiled, Input, Layout};
use offshoot::place::{arrange, Arrangement, Effort, Life, MemoryPlan};
use offshoot::scheme::Scheme;
use offshoot::trim::Trim;
use serde::Deserialize;

use crate::plan::{find, root};

/// Mean gap of the networks that is asked for, in percent.
const MEAN_GAP: f64 = 1.0;

/// The largest gap of a network that is allowed, in percent.
const WORST_GAP: f64 = 3.0;

/// Arguments of `planner`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Nodes of the search, at most, for each instance.
    #[arg(long, default_value_t = 2_000_000)]
    nodes: u64,
    /// Go on below the capacity of an instance, to the least arena that is found.
    #[arg(long)]
    least: bool,
    /// Train this of every network in place of its last two blocks.
    #[arg(long, value_name = "SCHEME")]
    update: Option<String>,
    /// Samples come a few rows at a time.
    #[arg(long)]
    input_rows: bool,
    /// Most of the forward pass that is computed again, in percent of its multiply-accumulates.
    #[arg(long, default_value_t = Trim::default().recompute)]
    recompute: u8,
}

/// What there is to be arranged.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    instances: Vec<String>,
    network: Vec<Network>,
}

/// A network and what of it is trained.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    title: String,
    model: String,
    update: String,
    classes: Option<usize>,
}

/// Tensors of an instance.
#[derive(Debug, Default, PartialEq, Eq)]
struct Instance {
    bytes: Vec<u32>,
    live: Vec<Option<Life>>,
}

/// Runs the command: prints a table of instances and one of networks.
///
/// # Errors
/// Where a file is damaged, an instance does not fit the capacity that is known to do, or networks
/// are farther from their lower bounds than [`MEAN_GAP`] and [`WORST_GAP`] allow.
pub fn run(args: &Args) -> Result<()> {
    let path = root().join("bench/planner.toml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let file: File = toml::from_str(&text).with_context(|| path.display().to_string())?;
    let too_large = instances(&file.instances, args)?;
    let gaps = networks(&file.network, args)?;
    ensure!(too_large.is_empty(), "{} need more than their capacity", too_large.join(", "));
    let mean = gaps.iter().sum::<f64>() / gaps.len().max(1) as f64;
    let worst = gaps.iter().copied().fold(0.0, f64::max);
    if !gaps.is_empty() {
        println!("\nMean gap {mean:.2} %, worst {worst:.2} %.");
    }
    ensure!(mean <= MEAN_GAP, "the mean gap is above {MEAN_GAP} %");
    ensure!(worst <= WORST_GAP, "the worst gap is above {WORST_GAP} %");
    Ok(())
}

/// Prints the table of instances; gives the names of those that exceed their capacity.
fn instances(files: &[String], args: &Args) -> Result<Vec<String>> {
    println!("| instance | buffers | capacity | lower bound | peak | gap, % | seconds | nodes |");
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    let mut too_large = Vec::new();
    for file in files {
        let path = match find(file) {
            Ok(path) => path,
            Err(why) => {
                eprintln!("skipped: {why}");
                continue;
            }
        };
        let (name, capacity) = capacity(&path)?;
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let instance = Instance::parse(&text).with_context(|| path.display().to_string())?;
        let enough = if args.least { 0 } else { capacity };
        let effort = Effort { nodes: args.nodes, enough };
        let start = Instant::now();
        let found = arrange(&instance.bytes, &instance.live, effort).context(name.clone())?;
        let seconds = start.elapsed().as_secs_f64();
        instance.check(&found).context(name.clone())?;
        let (buffers, gap) = (instance.bytes.len(), gap(found.peak, found.lower_bound));
        let Arrangement { peak, lower_bound, nodes, .. } = found;
        println!(
            "| {name} | {buffers} | {capacity} | {lower_bound} | {peak} | {gap:.2} | {seconds:.3} | {nodes} |"
        );
        if peak > capacity {
            too_large.push(name);
        }
    }
    Ok(too_large)
}

/// Prints the table of networks; gives their gaps in percent. Beside the peak, it has those where every
/// tensor has a place of its own and is kept as long as it is read, and where ops may write in place.
fn networks(networks: &[Network], args: &Args) -> Result<Vec<f64>> {
    println!("\n| network | update | apart | in place | again, % of MACs | peak | lower bound | gap, % | buffers |");
    println!("|---|---|---:|---:|---:|---:|---:|---:|---:|");
    let mut gaps = Vec::new();
    for network in networks {
        let path = match find(&network.model) {
            Ok(path) => path,
            Err(why) => {
                eprintln!("skipped: {why}");
                continue;
            }
        };
        let (title, update) = (&network.title, args.update.as_ref().unwrap_or(&network.update));
        let graph = import(&path).with_context(|| title.clone())?;
        let compiled = |in_place, recompute| {
            let input = if args.input_rows { Input::Rows } else { Input::Whole };
            let layout = Layout { input, trim: Trim { in_place, recompute }, ..Layout::default() };
            network.compiled(&graph, update, layout).with_context(|| title.clone())
        };
        let apart = compiled(false, 0)?.placed.plan.peak;
        let in_place = compiled(true, 0)?.placed.plan.peak;
        let placed = compiled(true, args.recompute)?.placed;
        let MemoryPlan { peak, lower_bound, ref live, .. } = placed.plan;
        let forward: u64 = placed.macs.iter().take(placed.header.forward as usize).sum();
        let again: u64 = placed.again.iter().map(|again| again.macs).sum();
        let again = 100.0 * again as f64 / forward.max(1) as f64;
        let (buffers, gap) = (live.iter().flatten().count(), gap(peak, lower_bound));
        println!(
            "| {title} | `{update}` | {apart} | {in_place} | {again:.2} | {peak} | {lower_bound} | {gap:.2} | {buffers} |"
        );
        gaps.push(gap);
    }
    Ok(gaps)
}

/// By how much `peak` exceeds `lower_bound`, in percent.
fn gap(peak: u32, lower_bound: u32) -> f64 {
    100.0 * (f64::from(peak) / f64::from(lower_bound.max(1)) - 1.0).max(0.0)
}

/// Name and capacity of an instance, from the name of its file: NAME.CAPACITY.csv.
fn capacity(path: &Path) -> Result<(String, u32)> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let (name, capacity) =
        stem.split_once('.').with_context(|| format!("{stem:?} names no capacity"))?;
    let capacity = capacity.parse().with_context(|| format!("{capacity:?} is no capacity"))?;
    Ok((name.to_owned(), capacity))
}

impl Instance {
    /// Reads rows of `id,lower,upper,size` under a heading; a life ends before `upper`.
    fn parse(text: &str) -> Result<Instance> {
        let mut instance = Instance::default();
        for (number, line) in (1..).zip(text.lines()).skip(1) {
            let fields: Result<Vec<u32>, _> = line.split(',').map(|f| f.trim().parse()).collect();
            let fields = fields.with_context(|| format!("line {number}: {line:?}"))?;
            let &[_, first, upper, bytes] = fields.as_slice() else {
                anyhow::bail!("line {number}: {line:?} has not the columns id,lower,upper,size");
            };
            ensure!(first < upper, "line {number}: {line:?} ends before it begins");
            instance.bytes.push(bytes);
            instance.live.push(Some(Life { first, last: upper - 1 }));
        }
        Ok(instance)
    }

    /// That no two tensors share a byte at any time, and none ends above the peak.
    fn check(&self, found: &Arrangement) -> Result<()> {
        let end = |t: usize| found.offsets[t] + self.bytes[t];
        for a in 0..self.bytes.len() {
            ensure!(end(a) <= found.peak, "tensor {a} ends above the peak");
            for b in 0..a {
                let together =
                    matches!((self.live[a], self.live[b]), (Some(a), Some(b)) if a.meets(&b));
                let apart = end(a) <= found.offsets[b] || end(b) <= found.offsets[a];
                ensure!(!together || apart, "tensors {a} and {b} share a byte");
            }
        }
        Ok(())
    }
}

impl Network {
    /// The network's program.
    fn compiled(&self, graph: &Graph, update: &str, layout: Layout) -> Result<Compiled> {
        let scheme = Scheme::from_short(update)?;
        let start = match self.classes {
            Some(classes) => HeadStart::Zero { classes },
            None => HeadStart::Classifier,
        };
        Ok(compile_in(graph, start, &scheme, layout)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_damaged_ones_refused_by_line() {
        let instance = Instance::parse("id,lower,upper,size\n0,3,5,16\n1,4,9,8\n").unwrap();
        let live = [(3, 4), (4, 8)].map(|(first, last)| Some(Life { first, last }));
        assert_eq!(instance, Instance { bytes: vec![16, 8], live: live.to_vec() });
        for row in ["1,2,3", "1,2,x,8", "1,5,5,8", "1,2,3,-8", "1,2,3,99999999999", ""] {
            let error = Instance::parse(&format!("id,lower,upper,size\n{row}\n")).unwrap_err();
            assert!(format!("{error:#}").contains("line 2"), "{row:?}: {error:#}");
        }
    }

    #[test]
    fn names_of_files_give_the_capacity() {
        assert_eq!(capacity(Path::new("a/K.1024.csv")).unwrap(), ("K".to_owned(), 1024));
        assert!(capacity(Path::new("K.csv")).is_err() && capacity(Path::new("K.x.csv")).is_err());
    }

    #[test]
    fn the_repository_s_list_is_sound() {
        let text = fs::read_to_string(root().join("bench/planner.toml")).unwrap();
        let file: File = toml::from_str(&text).unwrap();
        file.instances.iter().for_each(|f| assert!(capacity(Path::new(f)).is_ok(), "{f}"));
        file.network.iter().for_each(|n| assert!(Scheme::from_short(&n.update).is_ok()));
    }
}
