//! defmt over the log's channel, which has nothing to do with the link's.

use core::cell::RefCell;
use critical_section::{Mutex, RestoreState};

#[defmt::global_logger]
struct Logger;

struct State {
    /// Sends bytes; what comes before it is known is lost.
    send: fn(&[u8]),
    encoder: defmt::Encoder,
    /// How interrupts were before the frame under way; none between frames.
    restore: Option<RestoreState>,
}

static STATE: Mutex<RefCell<State>> =
    Mutex::new(RefCell::new(State { send: |_| {}, encoder: defmt::Encoder::new(), restore: None }));

/// From here on the log goes through `send`, which is called with interrupts off.
pub fn start(send: fn(&[u8])) {
    with_state(|state| state.send = send);
}

fn with_state(f: impl FnOnce(&mut State)) {
    critical_section::with(|cs| {
        if let Ok(mut state) = STATE.borrow(cs).try_borrow_mut() {
            f(&mut state);
        }
    });
}

// SAFETY: interrupts are off from `acquire` to `release` on the only core, so that frames do not
// mix; the encoder is started before and ended after its bytes.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: `release` takes back what is stored here.
        let restore = unsafe { critical_section::acquire() };
        with_state(|state| {
            state.restore = Some(restore);
            state.encoder.start_frame(state.send);
        });
    }

    unsafe fn flush() {}

    unsafe fn write(bytes: &[u8]) {
        with_state(|state| state.encoder.write(bytes, state.send));
    }

    unsafe fn release() {
        let mut restore = None;
        with_state(|state| {
            state.encoder.end_frame(state.send);
            restore = state.restore.take();
        });
        if let Some(restore) = restore {
            // SAFETY: what `acquire` got, once.
            unsafe { critical_section::release(restore) };
        }
    }
}
