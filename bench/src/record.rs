//! Finished runs, a JSON line each, appended as they finish.
//!
//! A run that is in the file is not repeated. A last line that was cut off is dropped; what was
//! written before it stays. One bench at a time holds the file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use anyhow::{bail, Context, Result};
use offshoot::learn::Change;
use offshoot_simulator::Decay;
use serde::{Deserialize, Serialize};

use crate::plan::Method;

/// All that determines a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Name of the network.
    pub network: String,
    /// Name of the data set.
    pub data: String,
    /// Name of the scheme.
    pub scheme: String,
    /// Method.
    pub method: Method,
    /// Learning rate, as a multiple of the default.
    pub rate: f32,
    /// The program's default.
    #[serde(default)]
    pub default_rate: f32,
    /// How it falls.
    #[serde(default, skip_serializing_if = "is_cosine")]
    pub decay: Decay,
    /// Training samples.
    pub train: usize,
    /// Test samples.
    pub test: usize,
    /// Epochs.
    pub epochs: usize,
    /// Seed of the order of samples.
    pub seed: u64,
    /// Hash of the compiled program, in hexadecimal.
    pub program: String,
    /// Hash of the samples, in hexadecimal.
    pub samples: String,
    /// Version of this project.
    pub version: String,
}

fn is_cosine(decay: &Decay) -> bool {
    *decay == Decay::Cosine
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// What was run.
    #[serde(flatten)]
    pub identity: Identity,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl std::ops::Deref for Record {
    type Target = Outcome;

    fn deref(&self) -> &Outcome {
        &self.outcome
    }
}

impl Record {
    /// Reads a line of the file.
    ///
    /// Twice: serde's `flatten` cannot read numbers where some crate of the build asks `serde_json` to
    /// keep all their digits.
    fn parse(line: &[u8]) -> serde_json::Result<Record> {
        let (identity, outcome) = (serde_json::from_slice(line)?, serde_json::from_slice(line)?);
        Ok(Record { identity, outcome })
    }
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Share of test samples that were right before training; of a network that reproduces its
    /// input, area under the curve of its error.
    pub before: f64,
    /// And after.
    pub after: f64,
    /// Mean error of a network that reproduces its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Change>,
    /// Share of the new class's test samples that are right after training, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// Mean loss of the last epoch.
    pub loss: f64,
    /// Bytes of SRAM that the program takes; none of a float run.
    pub sram: Option<u32>,
    /// Seconds that it took.
    pub seconds: f64,
}

/// The file of finished runs.
#[derive(Debug)]
pub struct Log {
    file: File,
    records: Vec<Record>,
}

impl Log {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<Log> {
        let name = || path.display().to_string();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(name)?;
        }
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).append(true).create(true).open(path).with_context(name)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                bail!("{} belongs to a bench that is at work; give another --results", name())
            }
            // Some file systems have no locks.
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(name)?;
        let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let mut records = Vec::new();
        for (index, line) in bytes[..whole].split(|&b| b == b'\n').enumerate() {
            if !line.is_empty() {
                let record = Record::parse(line).with_context(|| {
                    let line = index + 1;
                    format!("line {line} of {} is no result; remove it, or the file", name())
                })?;
                records.push(record);
            }
        }
        if whole < bytes.len() {
            file.set_len(whole as u64).with_context(name)?;
            file.seek(std::io::SeekFrom::End(0)).with_context(name)?;
        }
        Ok(Log { file, records })
    }

    /// Whether a run is there.
    pub fn has(&self, identity: &Identity) -> bool {
        self.records.iter().any(|r| r.identity == *identity)
    }

    /// A run that differs in method alone.
    pub fn of_other_method(&self, identity: &Identity, methods: &[Method]) -> Option<&Record> {
        let same = |r: &&Record| {
            let method = r.identity.method;
            methods.contains(&method) && Identity { method, ..identity.clone() } == r.identity
        };
        self.records.iter().find(same)
    }

    /// Appends a run; it is on disk when this returns.
    pub fn append(&mut self, record: Record) -> Result<()> {
        let mut line = serde_json::to_vec(&record)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.records.push(record);
        Ok(())
    }

    /// All runs, the oldest first.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A record of a cell.
    pub fn record(cell: &str, seed: u64, after: f64) -> Record {
        let parts: Vec<&str> = cell.split('/').collect();
        let method = Method::ALL.into_iter().find(|m| m.name() == parts[3]).unwrap();
        let identity = Identity {
            network: parts[0].into(),
            data: parts[1].into(),
            scheme: parts[2].into(),
            method,
            rate: 1.0,
            default_rate: 0.005,
            decay: Decay::Cosine,
            train: 400,
            test: 200,
            epochs: 2,
            seed,
            program: "0123".into(),
            samples: "4567".into(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let sram = (method != Method::Float).then_some(1000);
        let (error, recall) = (None, None);
        let outcome = Outcome { before: 0.2, after, error, recall, loss: 0.5, sram, seconds: 1.0 };
        Record { identity, outcome }
    }

    fn path(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("offshoot-bench-{}", std::process::id()));
        let path = folder.join(name);
        let _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn a_run_that_is_there_is_known() {
        let path = path("known.jsonl");
        let run = record("digits/rotated/head/float", 1, 0.8125);
        Log::open(&path).unwrap().append(run.clone()).unwrap();
        let log = Log::open(&path).unwrap();
        assert!(log.has(&run.identity));
        assert_eq!(log.records(), std::slice::from_ref(&run));
        for other in [
            Identity { seed: 2, ..run.identity.clone() },
            Identity { rate: 0.1, ..run.identity.clone() },
            Identity { program: "0124".into(), ..run.identity.clone() },
        ] {
            assert!(!log.has(&other));
        }
    }

    #[test]
    fn records_of_before_there_were_errors_are_read() {
        let path = path("older.jsonl");
        let line = "{\"network\":\"digits\",\"data\":\"rotated\",\"scheme\":\"head\",\"method\":\"float\",\
                    \"rate\":1.0,\"default_rate\":0.005,\"train\":400,\"test\":200,\"epochs\":2,\"seed\":1,\"program\":\"0123\",\
                    \"samples\":\"4567\",\"version\":\"0.1.0\",\"before\":0.2,\"after\":0.7,\"loss\":0.5,\
                    \"sram\":null,\"seconds\":1.0}\n";
        fs::write(&path, line).unwrap();
        let run = record("digits/rotated/head/float", 1, 0.7);
        let mut log = Log::open(&path).unwrap();
        assert_eq!(log.records(), std::slice::from_ref(&run));
        // And are written as they were.
        log.append(run).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), line.repeat(2));
        let error = Some(Change { before: 2.0, after: 1.0 });
        let mut run = record("a/b/c/residual", 1, 0.7);
        run.outcome = Outcome { error, recall: Some(0.5), ..run.outcome };
        log.append(run.clone()).unwrap();
        drop(log);
        assert_eq!(Log::open(&path).unwrap().records()[2], run);
    }

    #[test]
    fn a_torn_last_line_is_dropped_wherever_it_was_cut() {
        let path = path("torn.jsonl");
        let runs = [1, 2].map(|seed| record("digits/rotated/head/residual", seed, 0.7));
        let mut log = Log::open(&path).unwrap();
        runs.iter().for_each(|run| log.append(run.clone()).unwrap());
        drop(log);
        let whole = fs::read(&path).unwrap();
        let first = whole.iter().position(|&b| b == b'\n').unwrap() + 1;
        for cut in first..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut log = Log::open(&path).unwrap();
            assert_eq!(log.records(), &runs[..1], "cut at {cut}");
            log.append(runs[1].clone()).unwrap();
            drop(log);
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn a_line_that_is_no_result_is_named() {
        let path = path("wrong.jsonl");
        Log::open(&path).unwrap();
        fs::write(&path, "{\"network\": 1}\n").unwrap();
        let message = format!("{:#}", Log::open(&path).unwrap_err());
        assert!(message.contains("line 1 of") && message.contains("wrong.jsonl"), "{message}");
    }

    #[test]
    fn two_benches_do_not_share_a_file() {
        let path = path("shared.jsonl");
        let _held = Log::open(&path).unwrap();
        assert!(Log::open(&path).unwrap_err().to_string().contains("at work"));
    }
}
