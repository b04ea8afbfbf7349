//! Features of audio on an emulated Cortex-M4.
//!
//! The link, all numbers little-endian: `c`, a count and as many f32 samples set the clip; `f`, a
//! length and as many bytes of postcard (specification, scale and zero point) ask for its
//! features. The answer is the number of values, the values as f32, the values as int8,
//! instructions (u64) for the tables and for the clip, and bytes of stack. A count of `u32::MAX`
//! says that the specification was refused.
//!
//! The clip is held as a whole only so that instructions are counted without the link's.
#![no_std]
#![no_main]

use core::convert::Infallible;

use embedded_io::{Read, ReadExactError, Write};
use offshoot_runtime::features::audio::{AudioSpec, Extractor, SpecError};
use offshoot_runtime::features::Quantizer;
use offshoot_support_mps2 as mps2;
use static_cell::ConstStaticCell;

const MOST_SAMPLES: usize = 16_384;
const MOST_VALUES: usize = 8_192;
static CLIP: ConstStaticCell<[f32; MOST_SAMPLES]> = ConstStaticCell::new([0.0; MOST_SAMPLES]);
static TABLES: ConstStaticCell<[f32; 8_192]> = ConstStaticCell::new([0.0; 8_192]);
static WORK: ConstStaticCell<[f32; 4_096]> = ConstStaticCell::new([0.0; 4_096]);
static VALUES: ConstStaticCell<[f32; MOST_VALUES]> = ConstStaticCell::new([0.0; MOST_VALUES]);
static QUANTIZED: ConstStaticCell<[i8; MOST_VALUES]> = ConstStaticCell::new([0; MOST_VALUES]);

struct Memory {
    clip: &'static mut [f32],
    samples: usize,
    tables: &'static mut [f32],
    work: &'static mut [f32],
    values: &'static mut [f32],
    quantized: &'static mut [i8],
}

/// Why the link ended.
enum End {
    Closed,
    Nonsense,
}

impl From<ReadExactError<Infallible>> for End {
    fn from(_: ReadExactError<Infallible>) -> End {
        End::Closed
    }
}

impl From<Infallible> for End {
    fn from(never: Infallible) -> End {
        match never {}
    }
}

struct Features {
    count: usize,
    tables: u64,
    clip: u64,
}

fn features(
    memory: &mut Memory,
    spec: &AudioSpec,
    quantizer: Quantizer,
    ticks: &mut mps2::Ticks,
) -> Result<Features, SpecError> {
    spec.check()?;
    let (tables, work) = (spec.table_len(), spec.work_len());
    let found = memory.tables.len();
    let tables =
        memory.tables.get_mut(..tables).ok_or(SpecError::Tables { found, needed: tables })?;
    let found = memory.work.len();
    let work = memory.work.get_mut(..work).ok_or(SpecError::Work { found, needed: work })?;
    let begin = ticks.now();
    spec.fill_tables(tables)?;
    let filled = ticks.now();
    let mut extractor = Extractor::new(spec, tables, work)?;
    let (outputs, mut count) = (spec.outputs(), 0);
    for &sample in &memory.clip[..memory.samples] {
        let Some(frame) = extractor.push(sample) else { continue };
        let Some(values) = memory.values.get_mut(count..count + outputs) else { break };
        values.copy_from_slice(frame);
        quantizer.reals(frame, &mut memory.quantized[count..count + outputs]);
        count += outputs;
    }
    let done = ticks.now();
    let instructions = |ticks| mps2::Machine::MPS2.instructions(ticks);
    Ok(Features { count, tables: instructions(filled - begin), clip: instructions(done - filled) })
}

fn number(uart: &mut mps2::Uart) -> Result<u32, End> {
    let mut bytes = [0; 4];
    uart.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn serve(mut memory: Memory, parts: mps2::Parts) -> Result<Infallible, End> {
    let mps2::Parts { mut uart, mut ticks, .. } = parts;
    let mut request = [0; 128];
    loop {
        let mut command = [0];
        uart.read_exact(&mut command)?;
        match command[0] {
            b'c' => {
                memory.samples = number(&mut uart)? as usize;
                let clip = memory.clip.get_mut(..memory.samples).ok_or(End::Nonsense)?;
                for sample in clip {
                    *sample = f32::from_bits(number(&mut uart)?);
                }
            }
            b'f' => {
                let len = number(&mut uart)? as usize;
                let bytes = request.get_mut(..len).ok_or(End::Nonsense)?;
                uart.read_exact(bytes)?;
                let (spec, scale, zero): (AudioSpec, f32, i16) =
                    postcard::from_bytes(bytes).map_err(|_| End::Nonsense)?;
                let quantizer = Quantizer::new(scale, zero);
                let Ok(done) = features(&mut memory, &spec, quantizer, &mut ticks) else {
                    uart.write_all(&u32::MAX.to_le_bytes())?;
                    continue;
                };
                uart.write_all(&(done.count as u32).to_le_bytes())?;
                for value in &memory.values[..done.count] {
                    uart.write_all(&value.to_bits().to_le_bytes())?;
                }
                for &q in &memory.quantized[..done.count] {
                    uart.write_all(&q.to_le_bytes())?;
                }
                uart.write_all(&done.tables.to_le_bytes())?;
                uart.write_all(&done.clip.to_le_bytes())?;
                uart.write_all(&mps2::stack().0.to_le_bytes())?;
            }
            _ => return Err(End::Nonsense),
        }
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(parts) = mps2::start(mps2::Machine::MPS2) else { mps2::stop("started twice") };
    let memory = Memory {
        clip: CLIP.take(),
        samples: 0,
        tables: TABLES.take(),
        work: WORK.take(),
        values: VALUES.take(),
        quantized: QUANTIZED.take(),
    };
    match serve(memory, parts) {
        Ok(never) => match never {},
        Err(End::Closed) => mps2::stop("the link ended"),
        Err(End::Nonsense) => mps2::stop("a request that makes no sense"),
    }
}
