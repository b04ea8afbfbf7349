//! Features of audio are the same bits on the desktop and on an emulated Cortex-M4.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout};

use offshoot_boards::build::build;
use offshoot_boards::emulator::{self, Emulator, Options};
use offshoot_runtime::features::audio::{
    AudioSpec, LogUnit, MelNorm, MelScale, Spectrum, Triangles, Window,
};
use offshoot_runtime::features::Quantizer;
use offshoot_simulator::data::audio::{clip, features};
use offshoot_tests::cases::root;
use offshoot_tests::clips;

const fn specs() -> [(&'static str, AudioSpec); 5] {
    let wide = AudioSpec::at(16_000);
    [
        ("log mel, 30 ms / 20 ms, 40 bands", AudioSpec { low_hz: 125.0, high_hz: 7_500.0, ..wide }),
        (
            "keyword MFCC, 10 of 40, TensorFlow's bands",
            AudioSpec {
                spectrum: Spectrum::Magnitude,
                triangles: Triangles::Mel,
                high_hz: 4_000.0,
                offset: 1e-6,
                mfcc: 10,
                ..wide
            },
        ),
        (
            "8 kHz MFCC, 13 of 26, 25 ms / 10 ms, librosa's bands",
            AudioSpec {
                pre_emphasis: 0.97,
                frame: 200,
                hop: 80,
                window: Window::Hamming,
                bands: 26,
                scale: MelScale::Slaney,
                norm: MelNorm::Slaney,
                log: LogUnit::Db,
                mfcc: 13,
                ..AudioSpec::at(8_000)
            },
        ),
        (
            "machine sounds, 64 ms / 32 ms, 128 bands in dB",
            AudioSpec {
                frame: 1024,
                hop: 512,
                fft: 1024,
                bands: 128,
                low_hz: 0.0,
                scale: MelScale::Slaney,
                norm: MelNorm::Slaney,
                log: LogUnit::Db,
                ..wide
            },
        ),
        (
            "gaps between frames, no window",
            AudioSpec {
                frame: 250,
                hop: 400,
                window: Window::Rectangular,
                fft: 256,
                spectrum: Spectrum::Magnitude,
                bands: 20,
                log: LogUnit::Log10,
                ..wide
            },
        ),
    ]
}

/// What an input of a network might have.
const QUANTIZER: Quantizer = Quantizer::new(0.11, -7);

struct Device {
    emulator: Emulator,
    from: BufReader<ChildStdout>,
    to: ChildStdin,
}

/// What the device says of a clip.
struct Answer {
    values: Vec<u32>,
    quantized: Vec<i8>,
    table_instructions: u64,
    instructions: u64,
    stack: u32,
}

impl Device {
    fn start() -> Device {
        let mut board = offshoot_boards::find("qemu-mps2-an386").unwrap();
        // The name of the image's package follows from the board's.
        board.name = "features".into();
        let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/features");
        let built = build(&board, &image, root()).unwrap_or_else(|e| panic!("{e}"));
        println!("image: {:?}", built.sizes);
        let options = Options { log: None, count_instructions: true };
        let mut emulator = emulator::start(&board, &built.elf, &options).unwrap();
        let (from, to) = emulator.link().unwrap();
        Device { emulator, from: BufReader::new(from), to }
    }

    fn send(&mut self, bytes: &[u8]) {
        let sent = self.to.write_all(bytes).and_then(|()| self.to.flush());
        sent.unwrap_or_else(|e| panic!("{e}: {:?}", self.emulator.ended()));
    }

    fn receive<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let read = self.from.read_exact(&mut bytes);
        read.unwrap_or_else(|e| panic!("{e}: {:?}", self.emulator.ended()));
        bytes
    }

    fn load(&mut self, samples: &[f32]) {
        let mut bytes = vec![b'c'];
        bytes.extend((samples.len() as u32).to_le_bytes());
        bytes.extend(samples.iter().flat_map(|x| x.to_le_bytes()));
        self.send(&bytes);
    }

    /// Features of the loaded clip; none where the specification is refused.
    fn features(&mut self, spec: &AudioSpec) -> Option<Answer> {
        let request = postcard::to_stdvec(&(*spec, QUANTIZER.scale, QUANTIZER.zero)).unwrap();
        let mut bytes = vec![b'f'];
        bytes.extend((request.len() as u32).to_le_bytes());
        bytes.extend(request);
        self.send(&bytes);
        let count = u32::from_le_bytes(self.receive());
        if count == u32::MAX {
            return None;
        }
        Some(Answer {
            values: (0..count).map(|_| u32::from_le_bytes(self.receive())).collect(),
            quantized: (0..count).map(|_| i8::from_le_bytes(self.receive())).collect(),
            table_instructions: u64::from_le_bytes(self.receive()),
            instructions: u64::from_le_bytes(self.receive()),
            stack: u32::from_le_bytes(self.receive()),
        })
    }
}

#[test]
#[ignore = "needs an emulator and a cross compiler: cargo xtask test"]
fn fifty_clips_give_the_same_bits_on_a_cortex_m4() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips");
    fs::create_dir_all(&folder).unwrap();
    let clips: Vec<_> = (0..clips::COUNT).map(|index| clips::write(&folder, index)).collect();
    assert_eq!(clips.len(), 50);
    let mut device = Device::start();
    let mut stack = 0;
    for rate in [16_000, 8_000] {
        let specs: Vec<_> = specs().into_iter().filter(|(_, spec)| spec.rate == rate).collect();
        let mut totals = vec![(0, 0, 0, 0, 0); specs.len()];
        let mut seconds = 0.0;
        for path in &clips {
            // Clips of the other rate are resampled: both sides then read the same samples.
            let samples = clip(path, rate, true).unwrap_or_else(|e| panic!("{e}"));
            device.load(&samples);
            seconds += samples.len() as f64 / f64::from(rate);
            for ((name, spec), total) in specs.iter().zip(&mut totals) {
                let expected = features(spec, &samples).unwrap();
                assert_eq!(expected.len(), spec.frames(samples.len()) * spec.outputs());
                let found = device.features(spec).unwrap();
                let bits: Vec<u32> = expected.iter().map(|v| v.to_bits()).collect();
                let wrong = bits.iter().zip(&found.values).filter(|(a, b)| a != b).count();
                assert_eq!((wrong, bits.len()), (0, found.values.len()), "{name}: {path:?}");
                let quantized: Vec<i8> = expected.iter().map(|&v| QUANTIZER.real(v)).collect();
                assert_eq!(quantized, found.quantized, "{name}: {path:?}");
                assert!(expected.iter().all(|v| v.is_finite()), "{name}: {path:?}");
                total.0 += 1;
                total.1 += bits.len();
                total.2 += found.instructions;
                total.3 = found.table_instructions;
                let distinct: std::collections::BTreeSet<i8> = quantized.into_iter().collect();
                total.4 = total.4.max(distinct.len());
                stack = found.stack;
            }
        }
        for ((name, spec), (clips, values, count, tables, distinct)) in specs.iter().zip(totals) {
            // A comparison of constants would prove nothing.
            assert!(distinct > 50, "{name}: {distinct}");
            println!(
                "{name}: {clips} clips, {values} of {values} values equal; {:.2} million \
                 instructions a second of audio; tables: {} bytes, {:.2} million instructions; \
                 work: {} bytes",
                count as f64 / seconds / 1e6,
                4 * spec.table_len(),
                tables as f64 / 1e6,
                4 * spec.work_len(),
            );
        }
    }
    println!("stack: {stack} bytes");
    let nonsense = AudioSpec { fft: 500, ..AudioSpec::at(16_000) };
    assert!(device.features(&nonsense).is_none());
}

/// The comparison can fail: other weights give other bits.
#[test]
fn every_field_changes_some_bit() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips-fields");
    fs::create_dir_all(&folder).unwrap();
    let samples = clip(&clips::write(&folder, 0), 16_000, false).unwrap();
    let base = AudioSpec { mfcc: 10, ..AudioSpec::at(16_000) };
    let expected = features(&base, &samples).unwrap();
    for changed in [
        AudioSpec { rate: 16_001, ..base },
        AudioSpec { pre_emphasis: 1e-6, ..base },
        AudioSpec { frame: 479, ..base },
        AudioSpec { hop: 321, ..base },
        AudioSpec { window: Window::Hamming, ..base },
        AudioSpec { fft: 1024, ..base },
        AudioSpec { spectrum: Spectrum::Magnitude, ..base },
        AudioSpec { bands: 39, ..base },
        AudioSpec { low_hz: 20.1, ..base },
        AudioSpec { high_hz: 7_999.0, ..base },
        AudioSpec { scale: MelScale::Slaney, ..base },
        AudioSpec { triangles: Triangles::Mel, ..base },
        AudioSpec { norm: MelNorm::Slaney, ..base },
        AudioSpec { offset: 1e-3, ..base },
        AudioSpec { floor: 1e-1, ..base },
        AudioSpec { log: LogUnit::Log10, ..base },
        AudioSpec { mfcc: 11, ..base },
    ] {
        assert_ne!(features(&changed, &samples).unwrap(), expected, "{changed:?}");
    }
}
