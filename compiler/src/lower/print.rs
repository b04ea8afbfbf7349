//! A lowered program as text, for people and for tests.

use std::fmt::Write;

use offshoot_runtime::program::Init;
use offshoot_runtime::{Access, Memory, Slot};

use super::{Holds, Lowered};

/// One line an op: its name, what it reads and what it writes.
pub fn print(lowered: &Lowered) -> String {
    let mut text = String::new();
    let h = &lowered.header;
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "state {} scratch {} constants {}",
        h.state,
        h.scratch,
        lowered.constants.len()
    );
    for (index, buffer) in lowered.buffers.iter().enumerate() {
        let _ = write!(text, "buffer {index} {:?} {} bytes", buffer.name, buffer.bytes);
        if let Some(within) = buffer.within {
            let word = if within.holds == Holds::Part { "of" } else { "in the place of" };
            let _ = write!(text, ", {word} #{} from {}", within.buffer, within.at);
        }
        text.push('\n');
    }
    for init in &lowered.init {
        let to = match init {
            Init::Copy { to, .. } => *to,
            Init::Latent(weights) => weights.latent,
        };
        let kind = if matches!(init, Init::Copy { .. }) { "copy" } else { "latent" };
        let _ = writeln!(text, "init {kind} {}", place(&to));
    }
    for (index, (op, name)) in lowered.ops.iter().zip(&lowered.names).enumerate() {
        if index == h.forward as usize {
            text.push_str("loss and backward:\n");
        }
        let _ = write!(text, "{} {name:?}", op.name());
        let mut op = *op;
        op.visit(&mut |access, slot| {
            let word = match access {
                Access::Read => "read",
                Access::Write => "write",
                Access::Update => "update",
                Access::Scratch => return,
            };
            if slot.memory != Memory::Constant && !slot.is_empty() {
                let _ = write!(text, " {word} {}", place(slot));
            }
        });
        text.push('\n');
    }
    text
}

fn place(slot: &Slot) -> String {
    match slot.memory {
        Memory::Arena => format!("#{}", slot.offset),
        Memory::State => format!("state[{}..{}]", slot.start(), slot.end()),
        Memory::Constant => format!("constant[{}..{}]", slot.start(), slot.end()),
        Memory::Scratch => format!("scratch[{}]", slot.bytes),
    }
}
