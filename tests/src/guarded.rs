//! Guards in memory of this process.

use offshoot_runtime::guard::{Drift, Guard, GuardMemory, Snapshot};
use offshoot_runtime::program::Header;

/// A gate as the compiler makes it where nothing else is said.
const GATE: Guard =
    Guard { held_out: 64, round: 100, hold_every: 10, snapshot: Snapshot::Sram, ..Guard::NONE };

macro_rules! watch {
    ($($(#[$doc:meta])* $name:ident = $guard:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(Vec<i8>);

        impl GuardMemory for $name {
            const GUARD: Guard = $guard;

            fn memory(&mut self) -> &mut [i8] {
                &mut self.0
            }
        }

        impl $name {
            /// Memory for a program with this header.
            pub fn of(header: &Header) -> $name {
                $name(vec![0; Self::GUARD.bytes(header).total()])
            }
        }
    )*};
}

watch! {
    /// Nothing is watched.
    Nothing = Guard::NONE;
    /// A gate.
    Gate = GATE;
    /// A gate that goes back to flash.
    Flashed = Guard { snapshot: Snapshot::Flash, ..GATE };
    /// Samples that are trained on again.
    Replay = Guard { replay: 100, replays: 1, ..Guard::NONE };
    /// Drift is told.
    Watching = Guard { drift: Drift::Watch, reference: 256, ..Guard::NONE };
    /// Drift stops learning.
    Stopping = Guard { drift: Drift::Stop, ..Watching::GUARD };
    /// Drift starts learning, which a gate ends.
    Resting = Guard { drift: Drift::Start, reference: 256, ..GATE };
    /// A gate of short rounds, and replay, for a device without a host.
    Judged = Guard { held_out: 20, round: 20, replay: 10, replays: 1, ..GATE };
    /// Everything, of a size that an emulator is through with soon.
    All = Guard { held_out: 20, round: 50, replay: 10, replays: 1, drift: Drift::Watch, reference: 64, ..GATE };
}
