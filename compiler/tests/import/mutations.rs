//! Damaged copies of a real model: read or refused, never a panic.

use std::panic::catch_unwind;
use std::path::Path;

use offshoot::import::import_bytes;

fn next(state: &mut u32) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state as usize
}

#[test]
fn damaged_files_never_panic() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/digits_int8qdq.onnx");
    let sound = std::fs::read(path).unwrap();
    let mut state = 1;
    let (mut read, mut refused) = (0, 0);
    for round in 0..2400 {
        let mut bytes = sound.clone();
        // Half of the damage goes where names, shapes and attributes are: the file's front.
        let reach = if round % 2 == 0 { bytes.len() } else { 6000.min(bytes.len()) };
        let at = next(&mut state) % reach;
        match round % 6 {
            0 => bytes.truncate(at),
            1 | 2 => bytes[at] ^= 1 << (next(&mut state) % 8),
            3 => bytes[at] = next(&mut state) as u8,
            4 => {
                bytes.drain(at..(at + 1 + next(&mut state) % 8).min(sound.len()));
            }
            _ => {
                let byte = next(&mut state) as u8;
                bytes.insert(at, byte);
            }
        }
        match catch_unwind(|| import_bytes("damaged.onnx", &bytes).map_err(|e| e.to_string())) {
            Ok(Ok(_)) => read += 1,
            Ok(Err(message)) => {
                assert!(message.contains("damaged.onnx"), "{message}");
                refused += 1;
            }
            Err(_) => panic!("round {round}, byte {at}: panicked"),
        }
    }
    println!("{read} read, {refused} refused");
    assert!(refused > 500, "damage that is never noticed: {refused}");
}
