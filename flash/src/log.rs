//! What an image logs: defmt frames, read from the chip's memory (RTT) while it runs.

use std::io::{self, Write};
use std::thread::sleep;
use std::time::Duration;

use defmt_decoder::{DecodeError, Table};
use probe_rs::rtt::{self, ScanRegion, UpChannel};
use probe_rs::{Core, Session};

use crate::{Chip, FlashError, Plan};

const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);

/// The texts of an image's log.
#[derive(Debug)]
pub struct Formats(Table);

impl Formats {
    /// Reads those of `image`, an ELF file.
    ///
    /// # Errors
    /// Where it has none.
    pub fn of(image: &[u8]) -> Result<Formats, FlashError> {
        match Table::parse(image) {
            Ok(Some(table)) => Ok(Formats(table)),
            Ok(None) => Err(FlashError::NoLog),
            Err(why) => Err(FlashError::Formats(format!("{why:#}"))),
        }
    }

    /// What decodes the log, a piece at a time.
    pub fn decoder(&self) -> Decoder<'_> {
        Decoder { stream: self.0.new_stream_decoder(), recovers: self.0.encoding().can_recover() }
    }
}

/// Turns bytes into lines.
pub struct Decoder<'f> {
    stream: Box<dyn defmt_decoder::StreamDecoder + Send + Sync + 'f>,
    recovers: bool,
}

impl Decoder<'_> {
    /// Lines that `bytes` complete.
    ///
    /// # Errors
    /// Where they are no log of this image, and there is no way to find its next line.
    pub fn lines(&mut self, bytes: &[u8]) -> Result<Vec<String>, FlashError> {
        self.stream.received(bytes);
        let mut lines = Vec::new();
        loop {
            match self.stream.decode() {
                Ok(frame) => lines.push(frame.display(false).to_string()),
                Err(DecodeError::UnexpectedEof) => return Ok(lines),
                // The image overwrote what nobody read in time.
                Err(DecodeError::Malformed) if self.recovers => {
                    lines.push("(a line was lost)".to_string());
                }
                Err(DecodeError::Malformed) => {
                    let why = "bytes that are no frame; does the board run this image?";
                    return Err(FlashError::Formats(why.to_string()));
                }
            }
        }
    }
}

/// Writes the log to `out`, line by line, until `out` closes.
///
/// # Errors
/// Where there is no log, or the probe fails.
pub fn stream(
    session: &mut Session,
    plan: &Plan,
    chip: &Chip,
    formats: &Formats,
    out: &mut impl Write,
) -> Result<(), FlashError> {
    let address = plan.log.ok_or(FlashError::NoLog)?;
    let lost = |source| FlashError::Lost { chip: chip.name.clone(), source: Box::new(source) };
    let mut core = session.core(0).map_err(lost)?;
    let missing =
        |source| FlashError::LogNotFound { chip: chip.name.clone(), source: Box::new(source) };
    let mut rtt = rtt::try_attach_to_rtt(&mut core, PATIENCE, &ScanRegion::Exact(address))
        .map_err(missing)?;
    let channel = rtt.up_channel(0).ok_or(rtt::Error::MissingChannel(0)).map_err(missing)?;
    let mut decoder = formats.decoder();
    loop {
        let bytes = read(channel, &mut core).map_err(missing)?;
        if bytes.is_empty() {
            sleep(PAUSE);
            continue;
        }
        for line in decoder.lines(&bytes)? {
            if shown(out, &line).is_err() {
                return Ok(());
            }
        }
    }
}

fn read(channel: &mut UpChannel, core: &mut Core) -> Result<Vec<u8>, rtt::Error> {
    let mut bytes = vec![0; 1024];
    let count = channel.read(core, &mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

fn shown(out: &mut impl Write, line: &str) -> io::Result<()> {
    writeln!(out, "{line}")?;
    out.flush()
}
