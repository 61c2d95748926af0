//! What holds for whatever bytes come from the bus.

use squall_protocol::frame::Frame;
use squall_protocol::frame::{FRAME_BYTES_MAX, Publication, VERSION};
use squall_protocol::{Codec, ServerMessage};

/// Takes the bytes as a frame, and as the body of a frame of each kind.
pub(crate) fn check(bytes: &[u8]) {
    check_frame(bytes);
    for kind in 1..=KINDS {
        let mut frame = vec![VERSION];
        frame.extend(kind.to_le_bytes());
        frame.extend((bytes.len() as u32).to_le_bytes());
        frame.extend(bytes);
        check_frame(&frame);
    }
}

/// The kinds of frames there are.
const KINDS: u16 = 4;

/// Reading takes bounded memory: whatever a length claims, no more than the longest frame. What could be read is
/// the same frame when it is written and read again.
fn check_frame(bytes: &[u8]) {
    let mut read = None;
    let spent = allocation_counter::measure(|| read = Frame::decode(bytes).ok().flatten());
    let bytes_max = FRAME_BYTES_MAX + LISTS_BYTES_MAX + 100 * bytes.len() + WORDS_BYTES_MAX;
    assert!(spent.bytes_max <= bytes_max as u64, "{spent:?} for {} bytes", bytes.len());
    let Some(frame) = read else { return };
    if let Frame::Events(publication) = &frame {
        check_bodies(publication);
    }
    assert_eq!(Frame::decode(&frame.encode()), Ok(Some(frame)));
}

/// Whatever the body of an event is, a binary client reads what it is sent: the event, or just its position.
fn check_bodies(publication: &Publication) {
    for record in &publication.records {
        let bytes =
            Codec::Bincode.encode_event(publication.epoch, record.sequence, record.mark, &record.body);
        match Codec::Bincode.decode_server(&bytes) {
            Ok(ServerMessage::Event { sequence, mark, .. }) => {
                assert_eq!((sequence, mark), (record.sequence, record.mark));
            }
            Ok(ServerMessage::Position(position)) => {
                assert_eq!((position.sequence, position.mark), (record.sequence, record.mark));
            }
            other => panic!("a binary client reads {other:?}"),
        }
    }
}

/// What serde makes room for in a list of records and one of users before it sees their elements.
const LISTS_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What words about a fault take, and the parts of a frame of constant size.
const WORDS_BYTES_MAX: usize = 4 * 1024;
