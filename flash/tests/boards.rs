//! Boards, held against what probe-rs knows of their chips.

use offshoot_flash::Chip;

#[test]
fn memories_of_boards_lie_in_those_of_their_chips() {
    let boards = offshoot_boards::all().unwrap();
    let mut chips = 0;
    for board in &boards {
        let Some(name) = &board.probe_rs else { continue };
        let chip = Chip::find(name).unwrap_or_else(|e| panic!("{}: {e}", board.name));
        assert_eq!(&chip.name, name, "{}: the chip's name as probe-rs spells it", board.name);
        let flash = board.flash.iter().map(|f| ("flash", f.origin, f.physical, &chip.flash));
        let sram = board.sram.iter().map(|s| ("SRAM", s.origin, s.physical, &chip.ram));
        for (what, origin, bytes, known) in flash.chain(sram) {
            let inside = known.iter().any(|r| r.start <= origin && origin + bytes <= r.end);
            assert!(
                bytes > 0 && inside,
                "{}: {what} of {bytes} bytes from {origin:#x} on, but {name} has {known:#x?}",
                board.name
            );
        }
        chips += 1;
    }
    assert!(chips >= 5, "{chips} boards with chips");
}
