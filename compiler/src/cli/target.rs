//! Where a program is to run, for the commands that ask what fits.

use offshoot::fit::Limits;
use offshoot::pipeline::{Input, Layout};
use offshoot::trim::Trim;
use offshoot_boards::{Board, BoardError};

/// A board, and how a step may use its memory.
#[derive(Debug, clap::Args)]
pub struct Target {
    /// The board that must hold it.
    #[arg(long, default_value = "qemu-mps2-an386", value_parser = board)]
    pub board: Board,
    /// Bytes of SRAM that it may use, in place of what the board's stack leaves.
    #[arg(long, allow_negative_numbers = true)]
    sram: Option<u64>,
    /// Bytes of flash that an image may use, in place of the board's.
    #[arg(long, allow_negative_numbers = true)]
    flash: Option<u64>,
    /// The application gives a sample a few rows at a time, as a camera does, so that SRAM need not hold
    /// all of it.
    #[arg(long)]
    input_rows: bool,
    /// Most of the forward pass, in percent of its MACs, that may be computed again in the backward pass
    /// where that needs less SRAM than keeping it.
    #[arg(long, value_name = "PERCENT", default_value_t = Trim::default().recompute,
          value_parser = clap::value_parser!(u8).range(0..=100), allow_negative_numbers = true)]
    recompute: u8,
}

impl Target {
    /// Memory of the board that the program may use.
    pub fn limits(&self) -> Limits {
        self.of(&self.board)
    }

    fn of(&self, board: &Board) -> Limits {
        let Limits { sram, flash } = Limits::of(board);
        Limits { sram: self.sram.unwrap_or(sram), flash: self.flash.unwrap_or(flash) }
    }

    /// The boards that might hold what this one does not, with what would be left of them under the
    /// same arguments. This computer is none: it is there to try programs on.
    pub fn other_boards(&self) -> Result<Vec<(String, Limits)>, BoardError> {
        let all = offshoot_boards::all()?.into_iter();
        let others = all.filter(|b| !b.is_host() && b.name != self.board.name);
        Ok(others.map(|board| (board.name.clone(), self.of(&board))).collect())
    }

    /// How a step runs.
    pub fn layout(&self) -> Layout {
        let input = if self.input_rows { Input::Rows } else { Input::Whole };
        let trim = Trim { recompute: self.recompute, ..Trim::default() };
        Layout { input, trim, ..Layout::default() }
    }
}

/// The board of a name: an unknown one is a wrong argument.
pub fn board(name: &str) -> Result<Board, BoardError> {
    offshoot_boards::find(name)
}
