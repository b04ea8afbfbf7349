//! NOR flash in a file, which is made once something is written. It outlives this process, whatever
//! ends it.

use embedded_storage::nor_flash::{
    check_erase, check_read, check_write, ErrorType, NorFlash, NorFlashError, NorFlashErrorKind,
    ReadNorFlash,
};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// The file. Bytes behind its end are erased; those that were passed over, nobody has erased yet.
pub struct FlashFile {
    path: PathBuf,
    file: Option<File>,
    bytes: usize,
}

/// The file system refuses, or the request is not aligned.
#[derive(Debug)]
pub enum FileError {
    /// The file system's word.
    Io(io::Error),
    /// What is wrong with the request.
    Request(NorFlashErrorKind),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> FileError {
        FileError::Io(error)
    }
}

impl From<NorFlashErrorKind> for FileError {
    fn from(kind: NorFlashErrorKind) -> FileError {
        FileError::Request(kind)
    }
}

impl NorFlashError for FileError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            FileError::Io(_) => NorFlashErrorKind::Other,
            FileError::Request(kind) => *kind,
        }
    }
}

impl FlashFile {
    /// Flash of `bytes` in the file `path`, which need not be there yet.
    pub fn new(path: PathBuf, bytes: usize) -> FlashFile {
        FlashFile { file: File::options().read(true).write(true).open(&path).ok(), path, bytes }
    }

    /// Fills `bytes` with what is there.
    fn load(&mut self, offset: u32, bytes: &mut [u8]) -> io::Result<()> {
        bytes.fill(0xFF);
        let Some(file) = &mut self.file else { return Ok(()) };
        file.seek(SeekFrom::Start(offset.into()))?;
        let mut rest = bytes;
        loop {
            match file.read(rest)? {
                0 => return Ok(()),
                n => rest = rest.get_mut(n..).unwrap_or_default(),
            }
        }
    }

    fn store(&mut self, offset: u32, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut options = File::options();
                options.read(true).write(true).create(true).truncate(false);
                none.insert(options.open(&self.path)?)
            }
        };
        file.seek(SeekFrom::Start(offset.into()))?;
        file.write_all(bytes)
    }
}

impl ErrorType for FlashFile {
    type Error = FileError;
}

impl ReadNorFlash for FlashFile {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FileError> {
        check_read(self, offset, bytes.len())?;
        Ok(self.load(offset, bytes)?)
    }

    fn capacity(&self) -> usize {
        self.bytes
    }
}

impl NorFlash for FlashFile {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FileError> {
        check_erase(self, from, to)?;
        Ok(self.store(from, &vec![0xFF; (to - from) as usize])?)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FileError> {
        check_write(self, offset, bytes.len())?;
        let mut there = vec![0; bytes.len()];
        self.load(offset, &mut there)?;
        there.iter_mut().zip(bytes).for_each(|(there, byte)| *there &= byte);
        Ok(self.store(offset, &there)?)
    }
}
