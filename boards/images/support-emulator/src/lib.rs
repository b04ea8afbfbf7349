//! What images in an emulator share: the log, the panic handler, and how the emulator is ended.
#![no_std]

mod log;

pub use log::start as log_to;

/// Sends to the emulator's own console: a log's channel where no UART is left for it.
pub fn write_to_host(bytes: &[u8]) {
    bytes.iter().for_each(|&byte| semihosting::sys::arm_compat::sys_writec(byte));
}

/// Logs why and ends the emulator with an error.
pub fn stop(why: &str) -> ! {
    defmt::error!("stopped: {=str}", why);
    semihosting::process::exit(1)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    if let Some(place) = info.location() {
        defmt::error!("panic at {=str}:{=u32}", place.file(), place.line());
    }
    stop("panic")
}

// SAFETY: a handler that never returns and touches nothing but the log.
#[cfg(target_arch = "arm")]
#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    defmt::error!("hard fault at {=u32:x}", frame.pc());
    stop("hard fault")
}
