//! Bytes that nobody can guess.

use std::fs::File;
use std::io::{self, Read};

/// Bytes from the system's random source.
///
/// # Errors
/// `/dev/urandom` cannot be read, as in a root without devices.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
