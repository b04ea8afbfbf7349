//! A compiled program on a board: its image built around the emitted crate, started, and linked.

use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout};

use offshoot_boards::build::{build, BuildError, Built};
use offshoot_boards::elf::Sizes;
use offshoot_boards::emulator::{self, Emulator, Options, StartError};
use offshoot_boards::image::{self, ImageError};
use offshoot_boards::Board;
use offshoot_firmware::client::{Client, LinkError, Patience, Piped};

/// A program cannot be brought to work on a board.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The image cannot be made.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The image cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The image cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Nobody answers.
    #[error("{board} does not answer: {error}{ended}")]
    Link {
        /// The board.
        board: String,
        /// What the link says.
        error: LinkError,
        /// What became of the process, where it ended.
        ended: String,
    },
    /// Its pipes were taken before.
    #[error("the board's link is in use")]
    NoPipes,
}

/// Builds the image of `board` around the crate in `model`, in `out/firmware/<board>/`; `root` is
/// the folder of this project's sources, below which objects go.
///
/// # Errors
/// Why it cannot be built.
pub fn build_image(
    board: &Board,
    model: &Path,
    root: &Path,
    out: &Path,
) -> Result<Built, DeviceError> {
    let folder = image::materialise(board, model, root, out)?;
    Ok(build(board, &folder, root)?)
}

/// The link to a running board.
pub type DeviceClient = Client<Piped<ChildStdin>>;

/// A running board.
#[derive(Debug)]
pub struct Device {
    /// The link to it.
    pub client: DeviceClient,
    /// What its image takes of the memories.
    pub sizes: Sizes,
    /// Keeps the process alive.
    emulator: Emulator,
}

impl Device {
    /// Starts `built` and says hello. The board's log goes to `log`. A board with flash goes on from the
    /// checkpoint that an earlier run left there.
    ///
    /// # Errors
    /// Why it does not start or answer.
    pub fn start(
        board: &Board,
        built: &Built,
        log: Option<PathBuf>,
        count_instructions: bool,
    ) -> Result<Device, DeviceError> {
        let options = Options { log, count_instructions };
        let mut emulator = emulator::start(board, &built.elf, &options)?;
        let (output, input): (ChildStdout, ChildStdin) =
            emulator.link().ok_or(DeviceError::NoPipes)?;
        let client = Client::connect(Piped::new(output, input), Patience::default());
        let client = client.map_err(|error| DeviceError::Link {
            board: board.name.clone(),
            error,
            ended: emulator.ended().map_or(String::new(), |e| format!("; {e}")),
        })?;
        Ok(Device { client, sizes: built.sizes, emulator })
    }

    /// The link and the process, which ends with its owner, whatever it is at.
    pub fn apart(self) -> (DeviceClient, Emulator) {
        (self.client, self.emulator)
    }
}
