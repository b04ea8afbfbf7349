//! What a device may watch its own learning with, as a compiler settles it: sizes and rules, and the
//! bytes that they take. The application around the program does the watching.

use crate::program::Header;

/// Where state lies that a round goes back to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Snapshot {
    /// A copy in SRAM.
    #[default]
    Sram,
    /// The newest checkpoint in flash: every round that is kept is one more.
    Flash,
}

/// What happens where samples are no longer what they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Drift {
    /// Nobody looks.
    #[default]
    Off,
    /// It is told.
    Watch,
    /// Learning starts, which rests until then, and rests again once a round brings nothing more.
    Start,
    /// Learning stops until somebody says that all is well.
    Stop,
}

/// What a device watches its learning with. The default is nothing, which takes no byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Guard {
    /// Labelled samples that are held out, to judge rounds by; 0 keeps every round.
    pub held_out: u16,
    /// Steps of a round.
    pub round: u16,
    /// One in so many labelled samples takes the place of a held-out one.
    pub hold_every: u16,
    /// Where a round goes back to.
    pub snapshot: Snapshot,
    /// Samples that are kept to be trained on again; 0 keeps none.
    pub replay: u16,
    /// How many of those are trained on after each new sample.
    pub replays: u8,
    /// What is done about drift.
    pub drift: Drift,
    /// Samples at first, which are what is usual.
    pub reference: u16,
}

/// Bytes of SRAM that a [`Guard`] takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GuardBytes {
    /// Held-out samples.
    pub held_out: u32,
    /// Samples to be trained on again.
    pub replay: u32,
    /// The sample that comes, whose place is not settled yet.
    pub incoming: u32,
    /// The state that a round goes back to.
    pub snapshot: u32,
}

impl GuardBytes {
    /// All of it.
    pub const fn total(&self) -> usize {
        (self.held_out + self.replay + self.incoming + self.snapshot) as usize
    }
}

impl Guard {
    /// Nothing is watched.
    pub const NONE: Guard = Guard {
        held_out: 0,
        round: 0,
        hold_every: 0,
        snapshot: Snapshot::Sram,
        replay: 0,
        replays: 0,
        drift: Drift::Off,
        reference: 0,
    };

    /// Bytes beside a kept sample: its label, what it is kept for, and how wrong the network was about it
    /// before and after a round.
    pub const NOTE_BYTES: usize = 12;

    /// Samples that there is room for, the one that comes included.
    pub const fn samples(&self) -> usize {
        let kept = self.held_out as usize + self.replay as usize;
        if kept == 0 {
            0
        } else {
            kept + 1
        }
    }

    /// Bytes of SRAM beside a program with this header.
    pub const fn bytes(&self, header: &Header) -> GuardBytes {
        let sample = (header.input_shape.elements() + Self::NOTE_BYTES) as u32;
        let copied = self.held_out > 0 && matches!(self.snapshot, Snapshot::Sram);
        GuardBytes {
            held_out: sample * self.held_out as u32,
            replay: sample * self.replay as u32,
            incoming: if self.samples() > 0 { sample } else { 0 },
            snapshot: if copied { header.state } else { 0 },
        }
    }
}

/// The memory of a guard, with what it is for; emitted beside a program.
pub trait GuardMemory {
    /// What is watched.
    const GUARD: Guard;

    /// [`GuardBytes::total`] bytes.
    fn memory(&mut self) -> &mut [i8];
}

/// Nothing is watched.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unguarded;

impl Unguarded {
    /// It takes no bytes.
    pub const fn new() -> Unguarded {
        Unguarded
    }
}

impl GuardMemory for Unguarded {
    const GUARD: Guard = Guard::NONE;

    fn memory(&mut self) -> &mut [i8] {
        &mut []
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::op::Shape;

    #[test]
    fn bytes_are_those_of_what_is_asked_for() {
        let input_shape = Shape { h: 4, w: 5, c: 3 };
        let header = Header { state: 1000, input_shape, ..Header::default() };
        assert_eq!(Guard::NONE.bytes(&header).total(), 0);
        let watched = Guard { drift: Drift::Watch, reference: 200, ..Guard::NONE };
        assert_eq!(watched.bytes(&header).total(), 0);
        let gate = Guard { held_out: 10, round: 20, hold_every: 8, ..Guard::NONE };
        assert_eq!(gate.bytes(&header).total(), 11 * 72 + 1000);
        let in_flash = Guard { snapshot: Snapshot::Flash, ..gate };
        assert_eq!(in_flash.bytes(&header).total(), 11 * 72);
        let both = Guard { replay: 5, replays: 1, ..in_flash };
        assert_eq!(both.bytes(&header).total(), 16 * 72);
        let replay = Guard { held_out: 0, ..both };
        assert_eq!(replay.bytes(&header).total(), 6 * 72);
    }
}
