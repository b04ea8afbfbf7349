//! Text for people: tables, bytes, bars, progress.

use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use offshoot::learn::{Change, Scores, Watch};
use offshoot::lower::Banded;
pub use offshoot::report::grouped;
use offshoot::report::shortened;

/// Why standard output took no more.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Prints a line to standard output. Where that takes no more, [`written`] says so at the end.
pub fn line(text: Arguments<'_>) {
    if LOST.get().is_none() {
        if let Err(error) = writeln!(io::stdout(), "{text}") {
            // Only the first error counts.
            let _ = LOST.set(error);
        }
    }
}

/// As `println!`, through [`line`].
macro_rules! say {
    () => { $crate::cli::output::line(format_args!("")) };
    ($($text:tt)*) => { $crate::cli::output::line(format_args!($($text)*)) };
}
pub(super) use say;

/// Whether everything that was printed has been taken.
pub fn written() -> anyhow::Result<()> {
    match LOST.get() {
        Some(error) => anyhow::bail!("cannot write to standard output: {error}; the rest is done"),
        None => Ok(()),
    }
}

/// The nodes that a part in bands reaches from and to.
pub fn reach(band: &Banded) -> String {
    let [first, last] = [&band.first, &band.last].map(|name| shortened(name, 30));
    format!("{first} to {last}")
}

/// Prints rows with their columns aligned: the first left, the others right.
pub fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            let space = " ".repeat(width - cell.chars().count());
            if column == 0 {
                format!("{cell}{space}")
            } else {
                format!("{space}{cell}")
            }
        });
        say!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// A row of a [`table`].
pub fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.iter().map(ToString::to_string).collect()
}

/// Bytes, set apart.
pub fn bytes(number: u64) -> String {
    format!("{} B", grouped(number))
}

/// Bytes that there are of a memory; the most that there can be stands for no limit.
pub fn limit(bound: u64) -> String {
    match bound {
        u64::MAX => "no limit".to_string(),
        bound => bytes(bound),
    }
}

/// A share as percent with one digit.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A bar of `width` characters, filled by `share`.
pub fn bar(share: f64, width: usize) -> String {
    let filled = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    format!("{}{}", "█".repeat(filled), "·".repeat(width - filled))
}

/// A progress bar on standard error: shown on a terminal only, and only once `steps` have taken
/// a while.
pub fn progress(steps: usize, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style = "{msg:>12} {wide_bar} {pos}/{len} {eta}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.set_message(what.to_string());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Progress bars of a round of learning.
#[derive(Debug, Default)]
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Watch for Progress {
    fn begin(&mut self, what: &str, steps: usize) {
        self.bar = Some(progress(steps, what));
    }

    fn step(&mut self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Rows of a table for scores: what, before, after; `who` says whose they are.
pub fn score_rows(scores: &Scores, who: &str) -> Vec<Vec<String>> {
    let line = |what: &str, change: Change, text: fn(f64) -> String| {
        row([format!("{who}{what}").as_str(), &text(change.before), &text(change.after)])
    };
    let real = |v: f64| format!("{v:.4}");
    [
        scores.accuracy.map(|c| line("accuracy", c, percent)),
        scores.error.map(|c| line("mean square error", c, real)),
        scores.auc.map(|c| line("area under ROC", c, real)),
    ]
    .into_iter()
    .flatten()
    .collect()
}
