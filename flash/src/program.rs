//! Erases, writes, verifies and starts.

use std::mem::discriminant;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use probe_rs::flashing::{DownloadOptions, FlashProgress, ProgressEvent, ProgressOperation};
use probe_rs::rtt::Rtt;
use probe_rs::{MemoryInterface as _, Session};

use crate::{Chip, FlashError, Plan};

const HALT: Duration = Duration::from_millis(500);

/// Writes `plan` to `chip` and reads it back; `erase` erases all of the chip's flash before.
///
/// # Errors
/// Where the probe, the chip or its flash fails.
pub fn write(
    session: &mut Session,
    plan: &Plan,
    chip: &Chip,
    erase: bool,
) -> Result<(), FlashError> {
    let failed = |source| FlashError::Write { chip: chip.name.clone(), source: Box::new(source) };
    let mut loader = session.target().flash_loader();
    for segment in &plan.segments {
        loader.add_data(segment.address, &segment.data).map_err(failed)?;
    }
    let mut shown = Shown::default();
    let mut options = DownloadOptions::default();
    options.verify = true;
    options.do_chip_erase = erase;
    options.progress = FlashProgress::new(move |event| shown.take(event));
    loader.commit(session, options).map_err(failed)
}

/// Starts what was written, its log at `log` empty.
///
/// # Errors
/// Where the probe or the chip fails.
pub fn start(session: &mut Session, chip: &Chip, log: Option<u64>) -> Result<(), FlashError> {
    let mut restart = || {
        let mut core = session.core(0)?;
        core.reset_and_halt(HALT)?;
        if let Some(address) = log {
            // What an earlier program left in SRAM would pass for this one's log. It sets its own
            // up before it logs.
            let empty = [0u8; Rtt::RTT_ID.len()];
            core.write_8(address, &empty)?;
        }
        core.run()
    };
    restart()
        .map_err(|source| FlashError::Lost { chip: chip.name.clone(), source: Box::new(source) })
}

/// Progress, as bars on a terminal.
#[derive(Default)]
struct Shown {
    bars: Vec<(ProgressOperation, ProgressBar)>,
}

fn name(operation: ProgressOperation) -> &'static str {
    match operation {
        ProgressOperation::Fill => "read",
        ProgressOperation::Erase => "erase",
        ProgressOperation::Program => "write",
        ProgressOperation::Verify => "verify",
    }
}

impl Shown {
    fn take(&mut self, event: ProgressEvent) {
        match event {
            ProgressEvent::AddProgressBar { operation, total } => self.add(operation, total),
            ProgressEvent::Progress { operation, size, .. } => {
                self.with(operation, |bar| bar.inc(size));
            }
            ProgressEvent::Finished(operation) => self.with(operation, ProgressBar::finish),
            ProgressEvent::Failed(operation) => self.with(operation, ProgressBar::abandon),
            ProgressEvent::DiagnosticMessage { message } => eprintln!("{}", message.trim_end()),
            ProgressEvent::FlashLayoutReady { .. } | ProgressEvent::Started(_) => {}
        }
    }

    /// A chip with several flashes has a total for each.
    fn add(&mut self, operation: ProgressOperation, total: Option<u64>) {
        if let Some(bar) = self.bar(operation) {
            bar.inc_length(total.unwrap_or(0));
            return;
        }
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        // A template that does not parse would lose the bar, not the flashing.
        if let Ok(style) = ProgressStyle::with_template("{prefix:>7} [{bar:40}] {bytes}") {
            bar.set_style(style);
        }
        self.bars.push((operation, bar.with_prefix(name(operation))));
    }

    fn bar(&self, operation: ProgressOperation) -> Option<&ProgressBar> {
        let mut bars = self.bars.iter();
        bars.find(|(other, _)| discriminant(other) == discriminant(&operation)).map(|(_, bar)| bar)
    }

    fn with(&self, operation: ProgressOperation, change: impl Fn(&ProgressBar)) {
        if let Some(bar) = self.bar(operation) {
            change(bar);
        }
    }
}
