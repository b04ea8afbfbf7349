//! What this project's files begin with: 8 bytes magic, u32 version, u32 CRC-32 of what follows.
//! Little-endian.

/// Bytes before what is checked.
pub(crate) const PREFIX: usize = 16;

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Something else.
    Magic,
    /// Of this other version.
    Version(u32),
    /// Torn or changed.
    Checksum,
}

/// `body` as a file.
pub(crate) fn seal(magic: &[u8; 8], version: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// What [`seal`] made a file of.
pub(crate) fn open<'b>(bytes: &'b [u8], magic: &[u8; 8], version: u32) -> Result<&'b [u8], Broken> {
    if !bytes.starts_with(magic) {
        return Err(Broken::Magic);
    }
    let found = word(bytes, 8).unwrap_or(0);
    if found != version {
        return Err(Broken::Version(found));
    }
    let (crc, body) = word(bytes, 12).zip(bytes.get(PREFIX..)).ok_or(Broken::Checksum)?;
    if crc32fast::hash(body) == crc {
        Ok(body)
    } else {
        Err(Broken::Checksum)
    }
}

/// The number at byte `at`.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
