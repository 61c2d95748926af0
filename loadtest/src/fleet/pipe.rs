//! Messages between the processes of a run: a length and the message in bincode, over standard input and
//! output. The first on each side says what program it is.

use std::io::{self, ErrorKind, Read, Write};

use bincode::config::{self, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why nothing can be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PipeError {
    #[error("the other end is gone")]
    Ended,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a message of {0} bytes, and {MESSAGE_BYTES_MAX} are the most")]
    TooLong(u64),
    #[error("an unreadable message: {0}")]
    Unreadable(String),
    #[error("the other end is no worker of this very program: it says {0:?}, and we are {GREETING:?}")]
    Foreign(String),
}

/// Says who we are.
pub(crate) fn greet(out: &mut impl Write) -> Result<(), PipeError> {
    write(out, &GREETING)
}

/// Hears who is there.
pub(crate) fn be_greeted(input: &mut impl Read) -> Result<(), PipeError> {
    let length = read_length(input)?;
    // Whatever it is, its first bytes show it.
    let shown = usize::try_from(length).unwrap_or(usize::MAX).min(2 * GREETING.len());
    let mut bytes = Vec::new();
    input.take(shown as u64).read_to_end(&mut bytes).map_err(ended)?;
    match decode::<String>(&bytes) {
        Ok(greeting) if greeting == GREETING => Ok(()),
        Ok(greeting) => Err(PipeError::Foreign(greeting)),
        Err(_) => {
            let all = [&(length as u32).to_le_bytes(), bytes.as_slice()].concat();
            Err(PipeError::Foreign(String::from_utf8_lossy(&all).into()))
        }
    }
}

/// Writes a message.
pub(crate) fn write(out: &mut impl Write, message: &impl Serialize) -> Result<(), PipeError> {
    out.write_all(&encode(message)?).and_then(|()| out.flush()).map_err(ended)
}

/// A message as it is written.
pub(crate) fn encode(message: &impl Serialize) -> Result<Vec<u8>, PipeError> {
    let mut bytes = vec![0; LENGTH_BYTES];
    bincode::serde::encode_into_std_write(message, &mut bytes, config::standard())
        .map_err(|error| PipeError::Unreadable(error.to_string()))?;
    let length = bytes.len() - LENGTH_BYTES;
    if length > MESSAGE_BYTES_MAX {
        return Err(PipeError::TooLong(length as u64));
    }
    bytes[..LENGTH_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(bytes)
}

/// Reads a message.
pub(crate) fn read<T: DeserializeOwned>(input: &mut impl Read) -> Result<T, PipeError> {
    let length = read_length(input)?;
    if length > MESSAGE_BYTES_MAX as u64 {
        return Err(PipeError::TooLong(length));
    }
    let mut bytes = vec![0; length as usize];
    input.read_exact(&mut bytes).map_err(ended)?;
    decode(&bytes)
}

fn read_length(input: &mut impl Read) -> Result<u64, PipeError> {
    let mut length = [0; LENGTH_BYTES];
    input.read_exact(&mut length).map_err(ended)?;
    Ok(u32::from_le_bytes(length).into())
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, PipeError> {
    match bincode::serde::decode_from_slice(bytes, limited()) {
        Ok((message, read)) if read == bytes.len() => Ok(message),
        Ok((_, read)) => Err(PipeError::Unreadable(format!("{} bytes too many", bytes.len() - read))),
        Err(error) => Err(PipeError::Unreadable(error.to_string())),
    }
}

/// In memory a message is larger than in bytes: what it may claim is bounded all the same.
fn limited() -> impl Config {
    config::standard().with_limit::<{ 8 * MESSAGE_BYTES_MAX }>()
}

fn ended(error: io::Error) -> PipeError {
    let is_end = matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe);
    if is_end { PipeError::Ended } else { PipeError::Io(error) }
}

/// Whoever changes a message changes the number.
const GREETING: &str = concat!("squall-loadtest ", env!("CARGO_PKG_VERSION"), " fleet 1");
const LENGTH_BYTES: usize = 4;
/// A plan of some hundred thousand users.
const MESSAGE_BYTES_MAX: usize = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_and_then_the_end() {
        let mut bytes = Vec::new();
        greet(&mut bytes).unwrap();
        write(&mut bytes, &(7_u32, "soup")).unwrap();
        write(&mut bytes, &vec![1_u64; 10_000]).unwrap();
        let mut input = &bytes[..];
        be_greeted(&mut input).unwrap();
        assert_eq!(read::<(u32, String)>(&mut input).unwrap(), (7, "soup".into()));
        assert_eq!(read::<Vec<u64>>(&mut input).unwrap().len(), 10_000);
        assert!(matches!(read::<u8>(&mut input), Err(PipeError::Ended)));
    }

    #[test]
    fn a_foreign_program_is_refused() {
        let mut older = Vec::new();
        write(&mut older, &"squall-loadtest 0.0.1 fleet 0").unwrap();
        let error = be_greeted(&mut &older[..]).unwrap_err();
        assert!(matches!(&error, PipeError::Foreign(words) if words == "squall-loadtest 0.0.1 fleet 0"));
        assert!(error.to_string().contains(GREETING));
        let error =
            be_greeted(&mut &b"Usage: something else entirely, and at length, so that it is read"[..]);
        assert!(matches!(error, Err(PipeError::Foreign(_))), "{error:?}");
        assert!(matches!(be_greeted(&mut &b""[..]), Err(PipeError::Ended)));
    }

    #[test]
    fn what_is_no_message_is_told() {
        let mut bytes = encode(&7_u32).unwrap();
        assert!(matches!(read::<(u32, u32)>(&mut &bytes[..]), Err(PipeError::Unreadable(_))));
        assert!(matches!(read::<()>(&mut &bytes[..]), Err(PipeError::Unreadable(_))), "bytes are left over");
        bytes.pop();
        assert!(matches!(read::<u32>(&mut &bytes[..]), Err(PipeError::Ended)));
        assert!(matches!(read::<u32>(&mut &[0xFF; 4][..]), Err(PipeError::TooLong(_))));
        // A list that claims to be longer than anything: refused, not allocated.
        let mut huge = 9_u32.to_le_bytes().to_vec();
        huge.extend([253, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]);
        assert!(matches!(read::<Vec<u64>>(&mut &huge[..]), Err(PipeError::Unreadable(_))));
    }
}
