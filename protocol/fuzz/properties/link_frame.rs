//! What holds for whatever bytes come over the link between a gateway and a writer.

use squall_protocol::wire::{ANSWER_BYTES_MAX, Answer, REQUEST_BYTES_MAX, Request, VERSION};

/// Takes the bytes as a request and as an answer, and as the body of each kind of them.
pub(crate) fn check(bytes: &[u8]) {
    check_frame(bytes);
    for kind in (1..=KINDS).chain(ANSWER..=ANSWER + KINDS) {
        let mut frame = vec![VERSION];
        frame.extend(kind.to_le_bytes());
        frame.extend((bytes.len() as u32).to_le_bytes());
        frame.extend(bytes);
        check_frame(&frame);
    }
}

/// The kinds of requests there are, and where those of answers begin.
const KINDS: u16 = 8;
const ANSWER: u16 = 256;

/// Reading takes bounded memory, whatever a length claims. What could be read is the same when it is written
/// and read again.
fn check_frame(bytes: &[u8]) {
    let request = within(REQUEST_BYTES_MAX, bytes, || Request::decode(bytes).ok());
    if let Some(request) = request {
        assert_eq!(request.encode().and_then(|bytes| Request::decode(&bytes)), Ok(request));
    }
    let answer = within(ANSWER_BYTES_MAX, bytes, || Answer::decode(bytes).ok());
    if let Some(answer) = answer {
        assert_eq!(answer.encode().and_then(|bytes| Answer::decode(&bytes)), Ok(answer));
    }
}

fn within<T>(frame_bytes_max: usize, bytes: &[u8], read: impl FnOnce() -> Option<T>) -> Option<T> {
    let mut value = None;
    let spent = allocation_counter::measure(|| value = read());
    let bytes_max = frame_bytes_max + LISTS_BYTES_MAX + 100 * bytes.len() + WORDS_BYTES_MAX;
    assert!(spent.bytes_max <= bytes_max as u64, "{spent:?} for {} bytes", bytes.len());
    value
}

/// What serde makes room for in the lists of an answer before it sees their elements.
const LISTS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What words about a fault take, and the parts of a frame of constant size.
const WORDS_BYTES_MAX: usize = 4 * 1024;
