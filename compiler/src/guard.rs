//! What a device is to watch its learning with, as a TOML file or in short form.
//!
//! ```toml
//! held-out = 64        # labelled samples that rounds are judged by; default 0: every round is kept
//! round = 100          # steps of a round
//! hold-every = 10      # one in so many labelled samples takes the place of a held-out one
//! snapshot = "sram"    # where the state lies that a round goes back to, or "flash"
//! replay-bytes = 16384 # for samples that are trained on again; default 0
//! replays = 1          # of those after each new sample
//! drift = "stop"       # "watch", "start" or "stop"; default "off"
//! reference = 256      # samples at first that are what is usual
//! ```
//!
//! The short form of the same: `held-out=64,drift=watch`.

use offshoot_runtime::guard::{Drift, Guard, GuardBytes, Snapshot};
use offshoot_runtime::program::{Header, Output};
use serde::{Deserialize, Serialize};

/// What is asked for. The rest depends on the program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GuardFile {
    held_out: Option<u16>,
    round: Option<u16>,
    hold_every: Option<u16>,
    snapshot: Option<Snapshot>,
    replay_bytes: Option<u32>,
    replays: Option<u8>,
    drift: Option<Drift>,
    reference: Option<u16>,
}

/// What cannot be watched so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// The text does not parse.
    #[error("no guards can be read from it: {0}")]
    Toml(String),
    /// A key of something that is not asked for.
    #[error("`{0}` belongs to `{1}`: leave it out, or give that, for example {1} = {2}")]
    Alone(&'static str, &'static str, &'static str),
    /// A number that is too small.
    #[error("{0} = {1} is too small; write at least {2}")]
    Small(&'static str, u32, u32),
    /// Not one sample can be kept.
    #[error("replay-bytes = {given} hold no sample of this model, which takes {sample} bytes; write a multiple of that")]
    Replay {
        /// Bytes that are allowed.
        given: u32,
        /// Bytes of a sample and of its note.
        sample: u32,
    },
    /// A program that does not learn.
    #[error("the program trains nothing that guards could watch: give --classes or --update")]
    Untrained,
}

/// What a program is watched with, and what that takes: as the report has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarded {
    /// What is watched.
    #[serde(flatten)]
    pub guard: Guard,
    /// Bytes of SRAM that it takes.
    pub bytes: GuardBytes,
}

impl GuardFile {
    /// Reads the TOML form.
    ///
    /// # Errors
    /// What does not parse.
    pub fn from_toml(text: &str) -> Result<GuardFile, GuardError> {
        toml::from_str(text).map_err(|e| GuardError::Toml(e.to_string()))
    }

    /// Reads the short form, `key=value` separated by commas.
    ///
    /// # Errors
    /// What does not parse.
    pub fn from_short(text: &str) -> Result<GuardFile, GuardError> {
        let mut table = toml::Table::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| {
                GuardError::Toml(format!("`{part}`; write for example held-out=64,drift=watch"))
            })?;
            let number = value.parse().map(toml::Value::Integer);
            table.insert(key.to_string(), number.unwrap_or(toml::Value::String(value.to_string())));
        }
        table.try_into().map_err(|e: toml::de::Error| GuardError::Toml(e.message().to_string()))
    }

    /// What that is for a program with this header.
    ///
    /// # Errors
    /// What contradicts itself, or does not suit the program.
    pub fn of(&self, header: &Header) -> Result<Guarded, GuardError> {
        let gate = self.held_out.unwrap_or(0) > 0;
        let replay = self.replay_bytes.unwrap_or(0) > 0;
        let drift = self.drift.unwrap_or_default();
        let alone = [
            ("round", self.round.is_some() && !gate, "held-out", "64"),
            ("hold-every", self.hold_every.is_some() && !gate, "held-out", "64"),
            ("snapshot", self.snapshot.is_some() && !gate, "held-out", "64"),
            ("replays", self.replays.is_some() && !replay, "replay-bytes", "16384"),
            ("reference", self.reference.is_some() && drift == Drift::Off, "drift", "\"watch\""),
        ];
        if let Some((key, _, of, example)) = alone.into_iter().find(|(_, alone, ..)| *alone) {
            return Err(GuardError::Alone(key, of, example));
        }
        let learns = gate || replay || matches!(drift, Drift::Start | Drift::Stop);
        if learns && header.output_kind == Output::Scores {
            return Err(GuardError::Untrained);
        }
        let mut guard = Guard { drift, ..Guard::NONE };
        if gate {
            guard.held_out = at_least("held-out", self.held_out, 2, 64)?;
            guard.round = at_least("round", self.round, 1, 100)?;
            guard.hold_every = at_least("hold-every", self.hold_every, 2, 10)?;
            guard.snapshot = self.snapshot.unwrap_or_default();
        }
        if replay {
            let sample = (header.input_shape.elements() + Guard::NOTE_BYTES) as u32;
            let given = self.replay_bytes.unwrap_or(0);
            let samples = given / sample;
            if samples == 0 {
                return Err(GuardError::Replay { given, sample });
            }
            guard.replay = u16::try_from(samples).unwrap_or(u16::MAX);
            guard.replays = at_least("replays", self.replays.map(u16::from), 1, 1)? as u8;
        }
        if drift != Drift::Off {
            guard.reference = at_least("reference", self.reference, 32, 256)?;
        }
        Ok(Guarded { guard, bytes: guard.bytes(header) })
    }
}

fn at_least(
    key: &'static str,
    given: Option<u16>,
    least: u16,
    default: u16,
) -> Result<u16, GuardError> {
    match given {
        Some(given) if given < least => Err(GuardError::Small(key, given.into(), least.into())),
        given => Ok(given.unwrap_or(default)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offshoot_runtime::program::op::Shape;

    fn header() -> Header {
        Header { state: 300, input_shape: Shape { h: 8, w: 8, c: 1 }, ..Header::default() }
    }

    #[test]
    fn both_forms_say_the_same() {
        let toml = "held-out = 20\nround = 30\nsnapshot = \"flash\"\nreplay-bytes = 800\ndrift = \"stop\"\n";
        let file = GuardFile::from_toml(toml).unwrap();
        let short = "held-out=20, round=30,snapshot=flash,replay-bytes=800,drift=stop";
        assert_eq!(GuardFile::from_short(short), Ok(file.clone()));
        let guarded = file.of(&header()).unwrap();
        let expected = Guard {
            held_out: 20,
            round: 30,
            hold_every: 10,
            snapshot: Snapshot::Flash,
            replay: 10,
            replays: 1,
            drift: Drift::Stop,
            reference: 256,
        };
        assert_eq!(guarded.guard, expected);
        assert_eq!(guarded.bytes.total(), 31 * 76);
    }

    #[test]
    fn nothing_asked_for_is_nothing() {
        let none = GuardFile::from_short("").unwrap().of(&header()).unwrap();
        assert_eq!((none.guard, none.bytes.total()), (Guard::NONE, 0));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let told = |text: &str| {
            let guarded = GuardFile::from_short(text).and_then(|file| file.of(&header()));
            guarded.unwrap_err().to_string()
        };
        for (text, words) in [
            ("held-out", "write for example held-out=64"),
            ("heldout=4", "unknown field `heldout`"),
            ("drift=maybe", "unknown variant `maybe`"),
            ("held-out=70000", "70000"),
            ("held-out=-1", "-1"),
            ("round=20", "`round` belongs to `held-out`"),
            ("replays=2", "`replays` belongs to `replay-bytes`"),
            ("reference=99", "`reference` belongs to `drift`"),
            ("held-out=1", "at least 2"),
            ("held-out=9,hold-every=1", "hold-every = 1 is too small"),
            ("drift=watch,reference=3", "at least 32"),
            ("replay-bytes=75", "which takes 76 bytes"),
        ] {
            assert!(told(text).contains(words), "{text}: {}", told(text));
        }
        let scores = Header { output_kind: Output::Scores, ..header() };
        let file = GuardFile::from_short("held-out=9").unwrap();
        assert_eq!(file.of(&scores), Err(GuardError::Untrained));
        assert!(GuardFile::from_short("drift=watch").unwrap().of(&scores).is_ok());
    }
}
