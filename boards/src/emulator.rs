//! Runs a built image: in its emulator, or as a process of this computer for board `host`.

use crate::{Board, LogChannel};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the image's log goes (defmt frames, read with `defmt-print -e ELF`); nowhere if none.
    pub log: Option<PathBuf>,
    /// Let emulated time be counted in instructions: the image's counts are then the same in every
    /// run. Without it the emulator is faster and counts mean nothing.
    pub count_instructions: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { log: None, count_instructions: true }
    }
}

/// Why nothing runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The board has no emulator.
    #[error(
        "board {board} is not emulated: `offshoot flash --board {board}` programs a real one, or \
         take one that is emulated"
    )]
    NoEmulator {
        /// Which.
        board: String,
    },
    /// The program is not there.
    #[error("{program} could not be started: {source}; `cargo xtask setup` installs emulators")]
    Start {
        /// Which.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A running image. Ends with its owner.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
}

/// Starts the program `elf` that was built for `board`. What an emulated board keeps in flash outlives it,
/// in the file beside `elf` that ends in `.flash`. The image of `host` does so itself.
///
/// # Errors
/// A [`StartError`], whose text says what to do.
pub fn start(board: &Board, elf: &Path, options: &Options) -> Result<Emulator, StartError> {
    let mut command = match (&board.emulator, board.is_host()) {
        (_, true) => Command::new(elf),
        (None, false) => return Err(StartError::NoEmulator { board: board.name.clone() }),
        (Some(emulation), false) => {
            let mut command = Command::new(&emulation.program);
            command.args(["-M", &emulation.machine, "-cpu", &emulation.cpu]);
            command.args(&emulation.arguments);
            if let Some(memory) = &emulation.flash {
                let (id, bytes) = (&memory.id, memory.bytes);
                let file = option_path(&elf.with_extension("flash"));
                command.arg("-object").arg(format!(
                    "memory-backend-file,id={id},size={bytes},share=on,mem-path={file}"
                ));
                command.arg("-machine").arg(format!("memory-backend={id}"));
            }
            command.args(["-display", "none", "-monitor", "none"]);
            if options.count_instructions {
                command.args(["-icount", "shift=0"]);
            }
            let log = match &options.log {
                Some(path) => format!("file,id=log,path={}", option_path(path)),
                None => "null,id=log".to_string(),
            };
            command.args(["-chardev", &log]);
            // The first UART is the link; semihosting ends the emulator, and carries the log where
            // no second UART does.
            command.args(["-serial", "stdio"]);
            let semihosting = "enable=on,target=native";
            match emulation.log {
                LogChannel::Uart => command
                    .args(["-serial", "chardev:log"])
                    .args(["-semihosting-config", semihosting]),
                LogChannel::Semihosting => {
                    command.args(["-semihosting-config", &format!("{semihosting},chardev=log")])
                }
            };
            command.arg("-kernel").arg(elf);
            command
        }
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = command.get_program().to_string_lossy().into_owned();
    let child = command.spawn().map_err(|source| StartError::Start { program, source })?;
    Ok(Emulator { child })
}

/// A path as part of an emulator's option, which a comma would end.
fn option_path(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

impl Emulator {
    /// The two halves of the link: what the image says, and what it hears. `None` the second time.
    pub fn link(&mut self) -> Option<(ChildStdout, ChildStdin)> {
        self.child.stdout.take().zip(self.child.stdin.take())
    }

    /// Waits for its end and says why it came: after its link was closed from the other side.
    pub fn wait(&mut self) -> String {
        match self.child.wait() {
            Ok(_) => self.ended().unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    /// Why it ended, or `None` while it runs.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        let mut text = status.to_string();
        if let Some(mut stderr) = self.child.stderr.take() {
            let mut words = String::new();
            if stderr.read_to_string(&mut words).is_ok() && !words.trim().is_empty() {
                text = format!("{text}: {}", words.trim());
            }
        }
        Some(text)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
