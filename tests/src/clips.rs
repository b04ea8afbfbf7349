//! Recordings made in code, as `.wav` files of every kind that is read.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};

use crate::random::Random;

/// Number of recordings: each sound in each encoding.
pub const COUNT: usize = SOUNDS.len() * ENCODINGS.len();

const SOUNDS: [Sound; 10] = [
    Sound::Vowel { gain: 0.5 },
    Sound::Noise { gain: 0.3 },
    Sound::Clicks,
    Sound::Silence,
    // Far beyond full scale: clipped.
    Sound::Vowel { gain: 6.0 },
    Sound::Chirp,
    Sound::Bursts,
    // A few steps of 16 bits.
    Sound::Vowel { gain: 1e-4 },
    Sound::Offset,
    Sound::Noise { gain: 3.0 },
];

/// Samples a second, channels, bits, format.
const ENCODINGS: [(u32, u16, u16, SampleFormat); 5] = [
    (16_000, 1, 16, SampleFormat::Int),
    (8_000, 1, 16, SampleFormat::Int),
    (16_000, 2, 24, SampleFormat::Int),
    (8_000, 2, 32, SampleFormat::Float),
    (16_000, 1, 8, SampleFormat::Int),
];

#[derive(Clone, Copy)]
enum Sound {
    /// Harmonics of a gliding pitch through three formants that move.
    Vowel {
        gain: f64,
    },
    Noise {
        gain: f64,
    },
    Clicks,
    Silence,
    /// A tone from 50 Hz to half the rate.
    Chirp,
    /// Noise that comes and goes.
    Bursts,
    /// A microphone's offset with hum.
    Offset,
}

impl Sound {
    /// The sound at `time`, which lies `phase` turns of its pitch from the start.
    fn at(self, time: f64, rate: f64, phase: f64, random: &mut Random) -> f64 {
        let mut noise = || random.real(-1.0, 1.0);
        match self {
            Sound::Vowel { gain } => {
                let formants = [500.0 + 300.0 * time, 1500.0 - 500.0 * time, 2600.0];
                let pitch = pitch(time);
                let harmonic = |n: usize| {
                    let hz = n as f64 * pitch;
                    let resonance: f64 =
                        formants.iter().map(|f| 1.0 / (1.0 + ((hz - f) / 120.0).powi(2))).sum();
                    (resonance + 0.02) * (TAU * n as f64 * phase).sin()
                };
                let count = (rate / 2.0 / pitch) as usize;
                gain * ((1..=count).map(harmonic).sum::<f64>() / 3.0 + 0.002 * noise())
            }
            Sound::Noise { gain } => gain * noise(),
            Sound::Clicks => f64::from(u8::from(noise() > 0.999)) * noise(),
            Sound::Silence => 0.0,
            Sound::Chirp => {
                let slope = (rate / 2.0 - 50.0) / 2.0;
                0.8 * (TAU * (50.0 + slope * time) * time).sin()
            }
            Sound::Bursts => 0.4 * noise() * (TAU * 3.0 * time).sin().max(0.0),
            Sound::Offset => 0.2 + 0.01 * (TAU * 50.0 * time).sin() + 0.001 * noise(),
        }
    }
}

fn pitch(time: f64) -> f64 {
    120.0 + 60.0 * (TAU * 1.3 * time).sin()
}

/// Writes recording `index` below `folder`, always the same, and returns its path.
///
/// # Panics
/// Where it cannot be written.
pub fn write(folder: &Path, index: usize) -> PathBuf {
    let sound = SOUNDS[index % SOUNDS.len()];
    let (rate, channels, bits, sample_format) = ENCODINGS[index / SOUNDS.len()];
    let spec = WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format };
    let path = folder.join(format!("clip_{index:02}.wav"));
    let mut random = Random::new(index as u64 + 1);
    let mut writer = WavWriter::create(&path, spec).unwrap_or_else(|e| panic!("{e}"));
    // From half a second to a whole one.
    let count = rate as usize / 2 + (index * 997) % (rate as usize / 2 + 1);
    let mut phase = 0.0;
    for n in 0..count {
        let time = n as f64 / f64::from(rate);
        phase += pitch(time) / f64::from(rate);
        let sample = sound.at(time, rate.into(), phase, &mut random);
        for channel in 0..channels {
            // Channels differ, so that mixing them matters.
            let sample = (sample * (1.0 - 0.3 * f64::from(channel))).clamp(-1.0, 1.0);
            let written = match sample_format {
                SampleFormat::Float => writer.write_sample(sample as f32),
                SampleFormat::Int => {
                    let full = f64::from(1u32 << (bits - 1)) - 1.0;
                    writer.write_sample((sample * full).round() as i32)
                }
            };
            written.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
    writer.finalize().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    path
}
