//! Inputs as they are kept: for each target a file of seeds, which people write, and a file of what the fuzzer found
//! and was kept of it. One input a line, escaped, so that a few files hold many inputs and a change can be read.
//!
//! Lines that begin with `#` and empty lines are comments. The empty input has no line: it is tried with every target
//! anyway.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file of a target's seeds.
#[must_use]
pub fn seeds(target: &str) -> PathBuf {
    file("seeds", target)
}

/// The file of what was found for a target.
#[must_use]
pub fn found(target: &str) -> PathBuf {
    file("corpus", target)
}

fn file(folder: &str, target: &str) -> PathBuf {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    fuzz.join(folder).join(format!("{target}.txt"))
}

/// All inputs of a target.
///
/// # Errors
/// One of its files cannot be read, or holds a line that is none.
pub fn inputs(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut inputs = load(&seeds(target))?;
    inputs.extend(load(&found(target))?);
    Ok(inputs)
}

/// The inputs in the text of a corpus file.
///
/// # Errors
/// The number of the line that cannot be read, from 1.
pub fn read(text: &str) -> Result<Vec<Vec<u8>>, usize> {
    let lines = text.lines().zip(1..);
    let inputs = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    inputs
        .map(|(line, number)| unescaped(line).ok_or(number))
        .collect()
}

/// The text of a corpus file with these inputs: short ones first, none twice.
#[must_use]
pub fn written(mut inputs: Vec<Vec<u8>>) -> String {
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    inputs.dedup();
    let kept = inputs.iter().filter(|input| !input.is_empty());
    kept.map(|input| format!("{}\n", escaped(input))).collect()
}

/// Writes each input of a target into a file of its own in `folder`, as the fuzzer wants them.
///
/// # Errors
/// The inputs cannot be read, or the folder not be written.
pub fn unpack(target: &str, folder: &Path) -> io::Result<usize> {
    let inputs = inputs(target)?;
    fs::create_dir_all(folder)?;
    for input in &inputs {
        let name = format!("{:08x}-{}", crc32fast::hash(input), input.len());
        fs::write(folder.join(name), input)?;
    }
    Ok(inputs.len())
}

/// Keeps all files in `folder` as what was found for a target, but for its seeds and inputs above `longest` bytes.
///
/// # Errors
/// The folder cannot be read, or the file not be written.
pub fn pack(target: &str, folder: &Path, longest: usize) -> io::Result<usize> {
    let seeds = load(&seeds(target))?;
    let mut inputs = Vec::new();
    for entry in fs::read_dir(folder)? {
        inputs.push(fs::read(entry?.path())?);
    }
    inputs.retain(|input| input.len() <= longest && !seeds.contains(input));
    let text = written(inputs);
    fs::write(found(target), &text)?;
    Ok(text.lines().count())
}

fn load(corpus: &Path) -> io::Result<Vec<Vec<u8>>> {
    let text = fs::read_to_string(corpus)?;
    read(&text).map_err(|line| {
        let text = format!("{}:{line}: not an escaped input", corpus.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

fn escaped(input: &[u8]) -> String {
    let text = input.escape_ascii().to_string();
    match text.strip_prefix('#') {
        Some(rest) => format!("\\x23{rest}"),
        None => text,
    }
}

fn unescaped(line: &str) -> Option<Vec<u8>> {
    let mut input = Vec::with_capacity(line.len());
    let mut bytes = line.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            input.push(byte);
            continue;
        }
        input.push(match bytes.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            mark @ (b'\\' | b'\'' | b'"') => mark,
            _ => return None,
        });
    }
    Some(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let all: Vec<u8> = (0..=255).collect();
        let inputs = vec![b"#a".to_vec(), b"\\".to_vec(), all, b"#a".to_vec()];
        let text = written(inputs.clone());
        assert_eq!(text.lines().count(), 3);
        let read = read(&text).unwrap();
        assert!(inputs.iter().all(|input| read.contains(input)));
        assert_eq!(self::read("# x\n\na\\x"), Err(3));
    }
}
