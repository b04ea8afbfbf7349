//! `offshoot compile`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::builder::TypedValueParser;
use offshoot::adapt::HeadStart;
use offshoot::adapter::{attach, Adapter, AdapterError};
use offshoot::bank::Banked;
use offshoot::fit::{self, Limits, Sizes, Unfit};
use offshoot::guard::{GuardError, GuardFile, Guarded};
use offshoot::ir::{print, Constants};
use offshoot::pipeline::{self, Compiled};
use offshoot::report::{Report, Sample};
use offshoot::scheme::{Scheme, SchemeError};
use offshoot::{emit, emit::Beside, import};

use super::output::{bytes, grouped, limit, reach, row, say, table};
use super::quantize::{print_quantization, Calibration, Reading};
use super::target::Target;
use super::Folder;

/// Arguments of `offshoot compile`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The ONNX model, quantised (QDQ) or in float.
    model: PathBuf,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    calibration: Calibration,
    #[command(flatten)]
    head: Head,
    /// Update scheme: a TOML file, or in short form, for example `biases=20,24:1/4,27:1/2`.
    #[arg(long, default_value = "head", value_parser = update)]
    update: Given<Scheme>,
    /// An adapter beside the network's own layers, which starts from the samples of --calibrate: a TOML file,
    /// or in short form, for example `lora,layers=20,rank=4` (docs/adapters.md).
    #[arg(long, value_parser = adapter)]
    adapter: Option<Given<Adapter>>,
    #[command(flatten)]
    target: Target,
    /// What the device watches its learning with: a TOML file, or in short form, for example
    /// `held-out=64,drift=watch` (docs/guards.md).
    #[arg(long, default_value = "", hide_default_value = true, value_parser = guard)]
    guard: Given<GuardFile>,
    /// Adapters that the device may keep by name in flash beside the network, and switch among
    /// (docs/bank.md).
    #[arg(
        long,
        value_name = "ADAPTERS",
        default_value_t = 0,
        hide_default_value = true,
        allow_negative_numbers = true
    )]
    bank: u16,
    /// Folder for the program.
    #[arg(short, long)]
    output: PathBuf,
}

/// The folder of this project, whose runtime and images emitted programs are built with.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// What an argument names: a TOML file, or the same in short form.
#[derive(Clone, Debug)]
pub enum Given<T> {
    File(PathBuf),
    Short(T),
}

impl<T: Clone> Given<T> {
    /// Reads an argument: a file where there is one of that name, else the short form.
    fn of<E>(text: &str, short: fn(&str) -> Result<T, E>) -> Result<Given<T>, E> {
        let path = Path::new(text);
        if path.extension().is_some_and(|e| e == "toml") || path.is_file() {
            return Ok(Given::File(path.into()));
        }
        short(text).map(Given::Short)
    }

    /// What it is; `what` is what messages call it.
    pub fn read<E>(&self, what: &str, toml: fn(&str) -> Result<T, E>) -> Result<T>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        match self {
            Given::Short(given) => Ok(given.clone()),
            Given::File(path) => {
                let content = fs::read_to_string(path)
                    .with_context(|| format!("cannot read the {what} {}", path.display()))?;
                toml(&content).with_context(|| path.display().to_string())
            }
        }
    }
}

/// Reads `--update`.
pub fn update(text: &str) -> Result<Given<Scheme>, SchemeError> {
    Given::of(text, Scheme::from_short)
}

/// Reads `--adapter`.
fn adapter(text: &str) -> Result<Given<Adapter>, AdapterError> {
    Given::of(text, Adapter::from_short)
}

/// Reads `--guard`.
fn guard(text: &str) -> Result<Given<GuardFile>, GuardError> {
    Given::of(text, GuardFile::from_short)
}

/// What the trained head starts from; without any, the model's own classifier is trained further.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Head {
    /// Classes of a new head that starts at zero, in place of the model's own classifier.
    #[arg(long, value_parser = at_least(2), allow_negative_numbers = true)]
    classes: Option<u16>,
    /// New classes, numbered after those that the model's own classifier knows and keeps.
    #[arg(long, value_name = "CLASSES", value_parser = at_least(1), conflicts_with = "classes", allow_negative_numbers = true)]
    add_classes: Option<u16>,
}

fn at_least(least: i64) -> impl TypedValueParser<Value = u16> {
    clap::value_parser!(u16).range(least..)
}

impl Head {
    /// The start.
    pub fn start(self) -> HeadStart {
        match (self.classes, self.add_classes) {
            (Some(classes), _) => HeadStart::Zero { classes: classes.into() },
            (None, Some(new)) => HeadStart::Extended { new: new.into() },
            (None, None) => HeadStart::Classifier,
        }
    }
}

/// Runs the command.
pub fn run(args: &Args, json: bool) -> Result<()> {
    let scheme = args.update.read("update scheme", Scheme::from_toml)?;
    let guard = args.guard.read("guards", GuardFile::from_toml)?;
    let graph = import::import_with(&args.model, args.reading.options())?;
    let adapter =
        args.adapter.as_ref().map(|a| a.read("adapter", Adapter::from_toml)).transpose()?;
    let (mut graph, quantization) =
        args.calibration.integers(graph, &args.model, adapter.is_some())?;
    let mut plain = None;
    if let Some(adapter) = &adapter {
        let samples = args.calibration.samples(&graph)?;
        let attached = attach(&graph, adapter, scheme.loss.is_headed(), &samples)
            .with_context(|| args.model.display().to_string())?;
        plain = Some((std::mem::replace(&mut graph, attached), adapter, samples));
    }
    let (board, layout) = (&args.target.board, args.target.layout());
    let compiled = pipeline::compile_in(&graph, args.head.start(), &scheme, layout)
        .with_context(|| args.model.display().to_string())?;
    let guarded = guard.of(&compiled.program.header).context("--guard")?;
    let banked = Banked::of(args.bank, &compiled.program.program(), board).context("--bank")?;
    let taken = guarded.bytes.total() as u64 + u64::from(banked.sram);
    let beside = |limits: Limits| limits.beside(taken);
    let all = args.target.limits();
    let (limits, sizes) = (beside(all), Sizes::of(&compiled)?);
    if let Err(unfit) = fit::check(&compiled, sizes, limits) {
        let boards: Vec<(String, Limits)> = args
            .target
            .other_boards()?
            .into_iter()
            .map(|(name, limits)| (name, beside(limits)))
            .collect();
        let start = args.head.start();
        let mut advice = fit::advise(&graph, start, &scheme, layout, sizes, limits, &boards);
        if let Some((graph, adapter, samples)) = &plain {
            let (scheme, compiled) = (&scheme, &compiled);
            let asked = fit::Asked { graph, adapter, samples, start, scheme, compiled };
            fit::advise_adapter(&mut advice, &asked, limits);
        }
        let unfit = Unfit { advice: Some(advice), ..*unfit };
        let mut on = format!("{} on {}", args.model.display(), board.name);
        let who = match (guarded.bytes.total(), banked.sram) {
            (0, _) => "--bank asks",
            (_, 0) => "--guard asks",
            _ => "--guard and --bank ask",
        };
        if taken > 0 {
            on += &format!(", beside {} that {who} for", bytes(taken));
        }
        return Err(anyhow::Error::new(unfit).context(on));
    }
    let report = Report::new(&compiled, &board.name, all, guarded, banked)?;
    write(&compiled, &report, &Folder(args.output.clone()))?;
    if json {
        let mut object = serde_json::to_value(&report)?;
        if let Some(quantization) = &quantization {
            object["quantization"] = serde_json::to_value(quantization)?;
        }
        say!("{object}");
    } else {
        print_report(&report);
        if let Some(quantization) = &quantization {
            print_quantization(quantization);
        }
        say!("\n  written to {}", args.output.display());
    }
    Ok(())
}

/// Writes program, crate, graph and report: all of them or, where one cannot be written, none.
pub fn write(compiled: &Compiled, report: &Report, folder: &Folder) -> Result<()> {
    let name = &compiled.graph.name;
    let names = &compiled.placed.names;
    let root = root().canonicalize().with_context(|| {
        format!("{} is gone: emitted programs are built from its sources", root().display())
    })?;
    let runtime = root.join("runtime");
    let beside = Beside { guard: report.guarded.guard, adapters: report.banked.adapters };
    let mut files = emit::files(&compiled.program, name, names, &beside, &runtime, &folder.model());
    files.push((folder.graph(), print(&compiled.graph, Constants::Full).into_bytes()));
    files.push((folder.report(), serde_json::to_string_pretty(report)?.into_bytes()));
    files.push((folder.program(), compiled.program.encode()?));
    Ok(emit::write(files)?)
}

/// What guards take, in words.
fn guards(guarded: &Guarded) -> String {
    let Guarded { guard, bytes: taken } = guarded;
    let samples = |what: &str, count: u16, n: u32| {
        (n > 0).then(|| format!("{what} {count} in {}", bytes(n.into())))
    };
    let parts = [
        samples("held out", guard.held_out, taken.held_out),
        samples("replay", guard.replay, taken.replay),
        samples("incoming", 1, taken.incoming),
        (taken.snapshot > 0).then(|| format!("snapshot {}", bytes(taken.snapshot.into()))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Prints the report for people.
pub fn print_report(report: &Report) {
    let (sram, plan) = (&report.sram, &report.plan);
    let task = match report.classes {
        0 => "reproduces its input".to_string(),
        classes => format!("{classes} classes"),
    };
    say!("{} for {}: {task}\n", report.model, report.board);
    let gap = 100.0 * (f64::from(plan.peak) / f64::from(plan.lower_bound.max(1)) - 1.0);
    let wide = |v: u32| bytes(u64::from(v));
    let of_sram = format!("of {} that the stack leaves", limit(report.budget));
    let flash = format!(
        "of {}; code comes on top, about {}",
        limit(report.flash_budget),
        bytes(report.flash.code)
    );
    let mut rows = vec![
        row([
            "SRAM  arena",
            &wide(sram.arena),
            &format!("lower bound {}, gap {gap:.2} %", wide(plan.lower_bound)),
        ]),
        row([
            "      trainable state",
            &wide(sram.trainable),
            &format!("of it weights and biases {}", wide(report.trainable_bytes)),
        ]),
    ];
    let kept = [
        (report.momentum_bytes, "of it momentum"),
        (report.accumulation_bytes, "of it sums over a batch"),
    ];
    let kept = kept.iter().filter(|(count, _)| *count > 0);
    rows.extend(kept.map(|(count, what)| row(["", "", &format!("{what} {}", wide(*count))])));
    for (at, band) in report.bands.iter().enumerate() {
        let title = if at == 0 { "      in bands" } else { "" };
        let how = format!(
            "{}: {} bands of {} rows, {} ops for {}",
            reach(band),
            band.bands,
            band.rows,
            band.ops,
            band.whole_ops
        );
        rows.insert(1 + at, row([title, "", &how]));
    }
    if report.sample.parts > 1 {
        let Sample { bytes, parts, largest_part } = report.sample;
        let how = format!(
            "a sample of {} in {parts} parts of at most {}",
            wide(bytes),
            wide(largest_part)
        );
        rows.insert(1, row(["      receives", "", &how]));
    }
    let slices = format!("of {} in a step", report.slices.count);
    rows.extend([row(["      scratch", &wide(sram.scratch)])]);
    if sram.guards > 0 {
        rows.push(row(["      guards", &wide(sram.guards), &guards(&report.guarded)]));
    }
    if sram.bank > 0 {
        let Banked { adapters, adapter_bytes, .. } = report.banked;
        let of = format!("{} adapters of {}", grouped(adapters.into()), wide(adapter_bytes));
        rows.push(row(["      bank", &wide(sram.bank), &of]));
    }
    rows.extend([
        row(["      total", &wide(sram.total), &of_sram]),
        row(["flash constants", &bytes(report.flash.constants as u64)]),
        row(["      with ops", &bytes(report.flash.total as u64), &flash]),
        row(["MACs  forward", &grouped(report.macs.forward)]),
        row(["      backward", &grouped(report.macs.backward)]),
        row(["      longest slice", &grouped(report.slices.longest_macs), &slices]),
    ]);
    for (at, again) in report.again.iter().enumerate() {
        let title = if at == 0 { "      again" } else { "" };
        let share = 100.0 * again.macs as f64 / report.macs.forward.max(1) as f64;
        let how = format!("{}, {share:.1} % of the forward pass", again.layer);
        rows.push(row([title, &grouped(again.macs), &how]));
    }
    table(&rows);
    say!("\n  trained:");
    let rows = report.trained.iter().map(|t| {
        row([
            &format!("  {}", t.name),
            &grouped(t.elements as u64),
            &format!("of {}", grouped(t.of as u64)),
        ])
    });
    table(&rows.collect::<Vec<_>>());
}
