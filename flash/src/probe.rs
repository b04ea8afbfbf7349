//! The probe, and the chip behind it.

use offshoot_boards::{Board, Register};
use probe_rs::architecture::arm::ArmError;
use probe_rs::probe::list::{Accessibility, Lister, ProbeListItem};
use probe_rs::probe::{DebugProbeError, DebugProbeSelector, WireProtocol};
use probe_rs::{MemoryInterface, Permissions, Session};

use crate::chip::with_espressif;
use crate::{Chip, FlashError};

/// Probes that are connected.
pub fn list() -> Vec<ProbeListItem> {
    with_espressif();
    Lister::new().list_all_with_access()
}

/// Of `probes` the one that `wanted` names, or the only one, to program `chip`.
///
/// # Errors
/// Where there is none, or no telling which.
pub fn choose<'a>(
    probes: &'a [ProbeListItem],
    wanted: Option<&DebugProbeSelector>,
    chip: &Chip,
) -> Result<&'a ProbeListItem, FlashError> {
    if probes.is_empty() {
        return Err(FlashError::NoProbe { own: chip.boots_esp_idf() });
    }
    let matches: Vec<&ProbeListItem> = probes
        .iter()
        .filter(|probe| wanted.is_none_or(|wanted| wanted.matches_probe(&probe.info)))
        .collect();
    let named = |probes: &[&ProbeListItem]| probes.iter().map(|probe| name(probe)).collect();
    match (matches.as_slice(), wanted) {
        ([probe], _) if probe.accessibility == Accessibility::PermissionDenied => {
            Err(FlashError::Forbidden { probe: name(probe) })
        }
        ([probe], _) => Ok(probe),
        ([], Some(wanted)) => Err(FlashError::NoSuchProbe {
            wanted: wanted.to_string(),
            probes: probes.iter().map(name).collect(),
        }),
        (several, _) => Err(FlashError::SeveralProbes { probes: named(several) }),
    }
}

/// A probe as `--probe` takes it, and what it is.
fn name(probe: &ProbeListItem) -> String {
    let selector = DebugProbeSelector::from(&probe.info);
    format!("{selector}  ({})", probe.info.identifier)
}

/// Opens `probe`, and attaches to `chip`, which it makes sure of where `board` says how. Where
/// `erase` allows it, a locked chip is erased and so unlocked.
///
/// # Errors
/// Why it does not answer, or that it is another.
pub fn attach(
    probe: &ProbeListItem,
    board: &Board,
    chip: &Chip,
    erase: bool,
) -> Result<Session, FlashError> {
    let busy = |why: DebugProbeError| FlashError::Busy { probe: name(probe), why: told(&why) };
    let mut opened = probe.info.open().map_err(busy)?;
    if chip.boots_esp_idf() {
        // They have no SWD, which probes that have both begin with.
        opened
            .select_protocol(WireProtocol::Jtag)
            .map_err(|why| FlashError::NoAnswer { chip: chip.name.clone(), why: told(&why) })?;
    }
    let permissions = match erase {
        true => Permissions::new().allow_erase_all(),
        false => Permissions::new(),
    };
    let mut session =
        opened.attach(chip.target.clone(), permissions).map_err(|error| refused(error, chip))?;
    // Registers are those of the board's own chip.
    if board.probe_rs.as_deref() == Some(chip.name.as_str()) {
        let mut core = session.core(0).map_err(|error| refused(error, chip))?;
        if let Some(identity) = &board.identity {
            let found = core.read_word_32(identity.address);
            known(identity, found.map_err(|error| told(&error)), chip)?;
        }
        if let Some(protection) = &board.protection {
            let found = core.read_word_32(protection.address);
            open(protection, found.map_err(|error| refused(error, chip))?, chip)?;
        }
    }
    Ok(session)
}

/// Whether `found`, or why nothing was, shows that it is the chip.
fn known(identity: &Register, found: Result<u32, String>, chip: &Chip) -> Result<(), FlashError> {
    match found {
        Ok(found) if found & identity.mask == identity.value => Ok(()),
        Err(why) => {
            Err(FlashError::NoIdentity { chip: chip.name.clone(), register: identity.address, why })
        }
        Ok(found) => Err(FlashError::OtherChip {
            chip: chip.name.clone(),
            register: identity.address,
            found: found & identity.mask,
            expected: identity.value,
        }),
    }
}

/// Whether `found` says that the chip may be read.
fn open(protection: &Register, found: u32, chip: &Chip) -> Result<(), FlashError> {
    match found & protection.mask == protection.value {
        true => Ok(()),
        false => Err(FlashError::Protected {
            chip: chip.name.clone(),
            register: protection.address,
            found: found & protection.mask,
        }),
    }
}

/// Why the chip does not let a probe in.
fn refused(error: probe_rs::Error, chip: &Chip) -> FlashError {
    use probe_rs::Error;
    let name = chip.name.clone();
    match error {
        Error::MissingPermissions(_) | Error::Arm(ArmError::MissingPermissions(_)) => {
            FlashError::Locked { chip: name }
        }
        Error::Timeout
        | Error::Probe(DebugProbeError::TargetNotFound | DebugProbeError::Timeout)
        | Error::Arm(_)
        | Error::Riscv(_) => FlashError::NoAnswer { chip: name, why: told(&error) },
        error => FlashError::Lost { chip: name, source: Box::new(error) },
    }
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use offshoot_boards::find;
    use probe_rs::probe::stlink::StLinkFactory;
    use probe_rs::probe::DebugProbeInfo;

    fn stlink(serial: &str) -> ProbeListItem {
        let serial = Some(serial.to_string());
        let info =
            DebugProbeInfo::new("STLink V2-1", 0x0483, 0x374b, serial, &StLinkFactory, None, false);
        ProbeListItem::accessible(info)
    }

    fn stm32() -> Chip {
        Chip::find("STM32F411RETx").unwrap()
    }

    fn fails(probes: &[ProbeListItem], wanted: Option<&str>) -> String {
        let wanted: Option<DebugProbeSelector> = wanted.map(|text| text.parse().unwrap());
        choose(probes, wanted.as_ref(), &stm32()).unwrap_err().to_string()
    }

    #[test]
    fn without_probes_nothing_is_chosen() {
        for wanted in [None, Some("0483:374b")] {
            let error = fails(&[], wanted);
            assert!(error.contains("no debug probe") && error.contains("--dry-run"), "{error}");
        }
        // A chip that is its own probe.
        let error = choose(&[], None, &Chip::find("esp32c3").unwrap()).unwrap_err().to_string();
        let says = ["no debug probe", "its own USB port", "bridge", "--dry-run"];
        assert!(says.iter().all(|word| error.contains(word)), "{error}");
    }

    #[test]
    fn the_only_probe_is_taken() {
        let probes = [stlink("A1")];
        assert_eq!(choose(&probes, None, &stm32()).unwrap(), &probes[0]);
    }

    #[test]
    fn of_several_probes_one_is_named() {
        let probes = [stlink("A1"), stlink("B2")];
        let error = fails(&probes, None);
        let says = ["2 debug probes", "--probe 0483:374b:A1", "--probe 0483:374b:B2", "STLink"];
        assert!(says.iter().all(|word| error.contains(word)), "{error}");
        // What it prints is what it takes.
        let wanted = "0483:374b:B2".parse().unwrap();
        assert_eq!(choose(&probes, Some(&wanted), &stm32()).unwrap(), &probes[1]);
        assert!(fails(&probes, Some("0483:374b")).contains("2 debug probes"));
        let error = fails(&probes, Some("1366:1015:C3"));
        assert!(error.contains("1366:1015:C3") && error.contains("0483:374b:A1"), "{error}");
    }

    #[test]
    fn a_probe_that_this_user_may_not_open() {
        let accessibility = Accessibility::PermissionDenied;
        let error = fails(&[ProbeListItem { accessibility, ..stlink("A1") }], None);
        assert!(error.contains("udev") && error.contains("0483:374b:A1"), "{error}");
    }

    #[test]
    fn a_chip_that_is_another() {
        let board = find("nucleo-f411re").unwrap();
        let chip = stm32();
        let identity = board.identity.unwrap();
        // The revision is not looked at.
        known(&identity, Ok(0x1000_6431), &chip).unwrap();
        let error = known(&identity, Ok(0x1001_6449), &chip).unwrap_err().to_string();
        let says = ["no STM32F411RETx", "0x449", "0x431", "--board"];
        assert!(says.iter().all(|word| error.contains(word)), "{error}");
        let error = known(&identity, Err("bus fault".to_string()), &chip).unwrap_err().to_string();
        let says = ["no STM32F411RETx", "0xe0042000", "bus fault", "--board"];
        assert!(says.iter().all(|word| error.contains(word)), "{error}");
    }

    #[test]
    fn a_chip_that_is_protected() {
        let board = find("nucleo-f411re").unwrap();
        let chip = stm32();
        let protection = board.protection.unwrap();
        // As the chips leave ST.
        open(&protection, 0x0FFF_AAED, &chip).unwrap();
        let error = open(&protection, 0x0FFF_55ED, &chip).unwrap_err().to_string();
        assert!(error.contains("RDP") && error.contains("0x5500"), "{error}");
    }

    #[test]
    fn a_chip_that_is_locked() {
        let chip = Chip::find("nRF52840_xxAA").unwrap();
        let error = ArmError::MissingPermissions("erase_all".to_string());
        let error = refused(probe_rs::Error::Arm(error), &chip).to_string();
        assert!(error.contains("APPROTECT") && error.contains("--erase-all"), "{error}");
        let silent = ArmError::NoTargetResponse { source: Box::new(ArmError::Timeout) };
        let error = refused(probe_rs::Error::Arm(silent), &chip).to_string();
        assert!(error.contains("no nRF52840_xxAA answers") && error.contains("powered"), "{error}");
    }
}
