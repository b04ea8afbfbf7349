//! The picture as text, 80 columns wide.

use std::fmt::Write;

use super::super::{grouped, shortened, Kind, Report, Tensor};
use super::{fullest, Time};

/// Columns of the axis of bytes, and of the arena.
const AXIS: usize = 10;
const COLUMNS: usize = 68;
const ROWS: usize = 20;
/// Tensors that are listed.
const LISTED: usize = 8;

impl Kind {
    /// The letter that stands for it.
    fn letter(self) -> char {
        match self {
            Kind::Input => 'i',
            Kind::Activation => 'a',
            Kind::Band => 'b',
            Kind::Saved => 's',
            Kind::Again => 'r',
            Kind::Mask => 'm',
            Kind::Error => 'e',
        }
    }
}

/// The arena of `report`'s program against time, in lines of at most 80 characters. A letter says what
/// most of its place is taken by; neighbours of one kind differ in case. Below it, the tensors that
/// live where the arena is fullest.
pub fn text(report: &Report) -> String {
    let (mut out, time) = (String::new(), Time::of(report));
    let (full, live) = fullest(report);
    let plan = &report.plan;
    let column = |share: f64| ((share * COLUMNS as f64) as usize).min(COLUMNS - 1);
    for row in 0..ROWS {
        let [low, high] =
            [ROWS - 1 - row, ROWS - row].map(|at| f64::from(plan.peak) * at as f64 / ROWS as f64);
        let cells: String = (0..COLUMNS)
            .map(|at| {
                let [from, to] = [at, at + 1].map(|at| at as f64 / COLUMNS as f64);
                cell(report, &time, [from, to], [low, high])
            })
            .collect();
        let bytes = if row % 4 == 0 { grouped(high as u64) } else { String::new() };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{bytes:>AXIS$} |{cells}");
    }
    let _ = writeln!(out, "{:>AXIS$} +{}", 0, axis(report, &time));
    let _ = writeln!(out, "{:AXIS$}  {:width$}^", "", "", width = column(time.middle(full)));
    let gap = match plan.peak - plan.lower_bound.min(plan.peak) {
        0 => "the lower bound".to_string(),
        above => format!("{} above the lower bound", grouped(above.into())),
    };
    let _ = writeln!(out, "  peak {} B, {gap}", grouped(plan.peak.into()));
    let name = shortened(report.ops.get(full).map_or("", String::as_str), 34);
    let _ = writeln!(out, "  ^ op {full} ({name}), where most live: {} B", grouped(live));
    list(report, full, &mut out);
    let kinds = Kind::ALL.iter().filter(|&&kind| report.tensors.iter().any(|t| t.kind == kind));
    let kinds: Vec<String> = kinds.map(|k| format!("{} {}", k.letter(), k.name())).collect();
    let _ = writeln!(out, "  {}", kinds.join(", "));
    out
}

/// The tensors that live at op `index`, the biggest first.
fn list(report: &Report, index: usize, out: &mut String) {
    let mut there: Vec<&Tensor> = report.tensors.iter().filter(|t| t.lives_at(index)).collect();
    there.sort_by_key(|t| std::cmp::Reverse(t.bytes));
    for tensor in there.iter().take(LISTED) {
        let name = shortened(&tensor.name, 42);
        let (size, kind) = (grouped(tensor.bytes.into()), tensor.kind);
        let _ = writeln!(out, "  {size:>9} B  {name:42}  {} {}", kind.letter(), kind.name());
    }
    if there.len() > LISTED {
        let rest: u64 = there[LISTED..].iter().map(|t| u64::from(t.bytes)).sum();
        let _ = writeln!(out, "  {:>9} B  in {} more", grouped(rest), there.len() - LISTED);
    }
}

/// The letter of the tensor that takes most of a place; a point where none is.
fn cell(report: &Report, time: &Time, [from, to]: [f64; 2], [low, high]: [f64; 2]) -> char {
    let shared = |a: [f64; 2], b: [f64; 2]| (a[1].min(b[1]) - a[0].max(b[0])).max(0.0);
    let area = |tensor: &Tensor| {
        let life = [tensor.first as usize, tensor.last as usize + 1].map(|op| time.begin(op));
        let start = f64::from(tensor.offset);
        shared(life, [from, to]) * shared([start, start + f64::from(tensor.bytes)], [low, high])
    };
    let all = report.tensors.iter().enumerate().map(|(index, tensor)| (index, area(tensor)));
    let most = all.fold((0, 0.0), |most, this| if this.1 > most.1 { this } else { most });
    match report.tensors.get(most.0) {
        Some(tensor) if most.1 > 0.0 => {
            let letter = tensor.kind.letter();
            if most.0 % 2 == 0 {
                letter
            } else {
                letter.to_ascii_uppercase()
            }
        }
        _ => '.',
    }
}

/// The axis of time, which names both passes and parts them.
fn axis(report: &Report, time: &Time) -> String {
    let boundary = time.begin(report.forward_ops as usize);
    let forward = ((boundary * COLUMNS as f64).round() as usize).min(COLUMNS);
    let part = |name: &str, width: usize| match width.checked_sub(name.len() + 2) {
        Some(_) => format!("{:-^width$}", format!(" {name} ")),
        None => "-".repeat(width),
    };
    match COLUMNS - forward {
        0 => part("forward", COLUMNS),
        backward => format!("{}|{}", part("forward", forward), part("backward", backward - 1)),
    }
}
