//! Frames of several versions side by side on one channel.

use bytes::Bytes;
use squall_bus::{Bus as _, Delivery};
use squall_protocol::event::Event;
use squall_protocol::frame::{Frame, Publication, VERSION};
use squall_protocol::link::EventRecord;
use squall_protocol::{Epoch, Mark, Sequence, UserId};
use squall_servers::Redis;

use crate::bench::{REALM, bus, quick};

/// Publishes as a program of another version would, which differs from this one in the version it writes, and in
/// kinds this one does not know.
fn of_version(version: u8, kind: Option<u16>, sequence: u64) -> Bytes {
    let event = Event::CredentialChanged { user_id: UserId(4) };
    let record = EventRecord::new(Sequence(sequence), Mark(6), &event);
    let publication =
        Publication { realm_id: REALM, epoch: Epoch(77), previous_mark: Mark(5), records: vec![record] };
    let mut bytes = Frame::Events(publication).encode().to_vec();
    bytes[0] = version;
    if let Some(kind) = kind {
        bytes[1..3].copy_from_slice(&kind.to_le_bytes());
    }
    bytes.into()
}

#[tokio::test]
async fn programs_of_three_versions_talk_on_one_channel() {
    let redis = Redis::start();
    let (old, new) = (bus(&redis.url(), quick()).await, bus(&redis.url(), quick()).await);
    let node = bus(&redis.url(), quick()).await;
    let mut link = node.open();
    link.subscribe(REALM);
    assert_eq!(link.recv().await, Delivery::Up);
    let mut read = Vec::new();
    for sequence in (1..60).step_by(4) {
        for (number, (bus, version, kind)) in [
            (&old, VERSION - 1, None),
            (&node, VERSION, None),
            (&new, VERSION + 1, None),
            // A kind that only the newer program knows.
            (&new, VERSION + 1, Some(0xEE)),
        ]
        .into_iter()
        .enumerate()
        {
            let frame = of_version(version, kind, sequence + number as u64);
            assert!(bus.publish(REALM, frame).await.is_ok());
            let Delivery::Frame { realm, frame } = link.recv().await else { panic!("something was lost") };
            assert_eq!(realm, REALM);
            match Frame::decode(&frame) {
                Ok(Some(Frame::Events(publication))) => read.push(publication.records[0].sequence.0),
                Ok(None) => assert_eq!(kind, Some(0xEE), "only the unknown kind is skipped"),
                other => panic!("version {version}, kind {kind:?}: {other:?}"),
            }
        }
    }
    let known: Vec<_> = (1..=60).filter(|sequence| sequence % 4 != 0).collect();
    assert_eq!(read, known);
    // Two versions on is too far, and said to be.
    assert!(new.publish(REALM, of_version(VERSION + 2, None, 61)).await.is_ok());
    let Delivery::Frame { frame, .. } = link.recv().await else { panic!("something was lost") };
    assert!(Frame::decode(&frame).unwrap_err().to_string().contains("version"));
}
