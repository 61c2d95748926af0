//! What every bus must do. A test of an implementation calls [`all`]; a broken promise panics.
//!
//! Nothing here counts on time: where something must not come, what must come behind it is awaited.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use squall_protocol::RealmId;

use crate::{Bus, Delivery, Link};

/// The whole suite. `open` makes a bus whose links may have about so many frames waiting; it can be reached.
pub async fn all(open: impl AsyncFn(usize) -> Box<dyn Bus>) {
    frames_come_in_the_order_of_their_publisher(&*open(1024).await).await;
    frames_are_carried_unread(&*open(1024).await).await;
    only_subscribed_realms_come(&*open(1024).await).await;
    an_unsubscribed_realm_comes_no_more(&*open(1024).await).await;
    every_link_gets_every_frame_once(&*open(1024).await).await;
    recv_loses_nothing_when_cancelled(&*open(1024).await).await;
    an_overrun_ends_in_a_gap_and_goes_on(&*open(8).await).await;
    a_link_that_never_reads_holds_nobody_up(&*open(8).await).await;
}

const REALM: RealmId = RealmId(1);
const OTHER: RealmId = RealmId(2);

/// One publisher's frames of a realm are received in its order.
pub async fn frames_come_in_the_order_of_their_publisher(bus: &dyn Bus) {
    let mut link = subscribed(bus, &[REALM]).await;
    for number in 0..500 {
        publish(bus, REALM, number).await;
    }
    for number in 0..500 {
        assert_eq!(next_frame(&mut *link).await, (REALM, number));
    }
}

/// A frame's bytes are received as they were published, whatever they are.
pub async fn frames_are_carried_unread(bus: &dyn Bus) {
    let mut link = subscribed(bus, &[REALM]).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let large = every_byte.iter().copied().cycle().take(1024 * 1024).collect();
    for bytes in [every_byte, Vec::new(), b"squall".to_vec(), large] {
        let frame = Bytes::from(bytes);
        let published = bus.publish(REALM, frame.clone()).await;
        assert!(published.is_ok(), "{published:?}");
        let delivery = link.recv().await;
        assert!(delivery == Delivery::Frame { realm: REALM, frame }, "other bytes came than were published");
    }
}

/// Frames of other realms do not come.
pub async fn only_subscribed_realms_come(bus: &dyn Bus) {
    let mut link = subscribed(bus, &[REALM]).await;
    publish(bus, OTHER, 1).await;
    publish(bus, REALM, 2).await;
    assert_eq!(next_frame(&mut *link).await, (REALM, 2));
}

/// After `unsubscribe` no frame published later comes; subscribing again brings them back.
pub async fn an_unsubscribed_realm_comes_no_more(bus: &dyn Bus) {
    let mut link = subscribed(bus, &[REALM, OTHER]).await;
    link.unsubscribe(REALM);
    link.unsubscribe(RealmId(99));
    publish(bus, OTHER, 1).await;
    assert_eq!(next_frame(&mut *link).await, (OTHER, 1));
    publish(bus, REALM, 2).await;
    publish(bus, OTHER, 3).await;
    // One frame of the realm may have been under way.
    let mut next = next_frame(&mut *link).await;
    if next == (REALM, 2) {
        next = next_frame(&mut *link).await;
    }
    assert_eq!(next, (OTHER, 3));
    link.subscribe(REALM);
    settle(bus, &mut *link, REALM).await;
}

/// Links do not take each other's frames, and subscribing twice is subscribing once.
pub async fn every_link_gets_every_frame_once(bus: &dyn Bus) {
    let mut links = [subscribed(bus, &[REALM]).await, subscribed(bus, &[REALM]).await];
    // The second's settling reached the first too.
    settle(bus, &mut *links[0], REALM).await;
    settle(bus, &mut *links[1], REALM).await;
    for link in &mut links {
        link.subscribe(REALM);
    }
    publish(bus, REALM, 1).await;
    publish(bus, REALM, 2).await;
    for link in &mut links {
        assert_eq!(next_frame_after_probes(&mut **link).await, (REALM, 1));
        assert_eq!(next_frame(&mut **link).await, (REALM, 2));
    }
}

/// A `recv` that is dropped before it is done has taken nothing.
pub async fn recv_loses_nothing_when_cancelled(bus: &dyn Bus) {
    let mut link = subscribed(bus, &[REALM]).await;
    for number in 0..50 {
        let early = poll_once(link.recv()).await;
        assert!(matches!(early, None | Some(Delivery::Up)), "nothing was published");
        publish(bus, REALM, number).await;
        // Polled until it is there, each time by a new future.
        let delivery = loop {
            match poll_once(link.recv()).await {
                Some(Delivery::Up) => {}
                Some(delivery) => break delivery,
                None => yield_now().await,
            }
        };
        assert_eq!(parse(&delivery), Some((REALM, number)));
    }
}

/// A link that was overrun says so, keeps the order of what it still has, and works on.
pub async fn an_overrun_ends_in_a_gap_and_goes_on(bus: &dyn Bus) {
    let mut link = subscribed(bus, &[REALM]).await;
    let mut numbers = 0..PROBE - 1;
    let mut last = None;
    // Read a thousand times more slowly than published; what was lost is named before anything newer comes.
    loop {
        for number in numbers.by_ref().take(1000) {
            publish(bus, REALM, number).await;
        }
        match link.recv().await {
            Delivery::Gap => break,
            Delivery::Up | Delivery::Down => {}
            Delivery::Frame { frame, .. } => {
                let number = number(&frame);
                assert!(last.is_none_or(|last| number == last + 1), "{last:?} then {number} without a gap");
                last = Some(number);
            }
        }
    }
    publish_until_it_comes(bus, &mut *link, PROBE - 2).await;
}

/// Publishing is done though a link never reads.
pub async fn a_link_that_never_reads_holds_nobody_up(bus: &dyn Bus) {
    let _idle = subscribed(bus, &[REALM]).await;
    let mut reader = subscribed(bus, &[OTHER]).await;
    for number in 0..10_000 {
        publish(bus, REALM, number).await;
    }
    publish(bus, OTHER, 1).await;
    assert_eq!(next_frame(&mut *reader).await, (OTHER, 1));
}

/// A number no test publishes: it only shows that a subscription works.
const PROBE: u32 = u32::MAX;

async fn subscribed(bus: &dyn Bus, realms: &[RealmId]) -> Box<dyn Link> {
    let mut link = bus.open();
    for realm in realms {
        link.subscribe(*realm);
        settle(bus, &mut *link, *realm).await;
    }
    link
}

/// Publishes probes until the link gets one of the realm, then takes those still under way.
async fn settle(bus: &dyn Bus, link: &mut dyn Link, realm: RealmId) {
    let mut sent = 0;
    let mut got = 0;
    while got == 0 {
        publish(bus, realm, PROBE).await;
        sent += 1;
        for _ in 0..1000 {
            match poll_once(link.recv()).await {
                Some(delivery) if parse(&delivery) == Some((realm, PROBE)) => got += 1,
                Some(_) => {}
                None => yield_now().await,
            }
            if got == sent {
                return;
            }
        }
    }
    // Those sent before the subscription held never come; a last one comes behind all that do.
    publish(bus, realm, PROBE - 1).await;
    while parse(&link.recv().await) != Some((realm, PROBE - 1)) {}
}

async fn publish_until_it_comes(bus: &dyn Bus, link: &mut dyn Link, wanted: u32) {
    loop {
        publish(bus, REALM, wanted).await;
        for _ in 0..1000 {
            match poll_once(link.recv()).await {
                Some(delivery) if parse(&delivery) == Some((REALM, wanted)) => return,
                Some(_) => {}
                None => yield_now().await,
            }
        }
    }
}

async fn publish(bus: &dyn Bus, realm: RealmId, number: u32) {
    let frame = Bytes::copy_from_slice(&number.to_le_bytes());
    let published = bus.publish(realm, frame).await;
    assert!(published.is_ok(), "{published:?}");
}

async fn next_frame(link: &mut dyn Link) -> (RealmId, u32) {
    loop {
        match link.recv().await {
            Delivery::Up => {}
            Delivery::Frame { realm, frame } => return (realm, number(&frame)),
            other @ (Delivery::Gap | Delivery::Down) => {
                assert_eq!(other, Delivery::Up, "no frame was lost");
            }
        }
    }
}

async fn next_frame_after_probes(link: &mut dyn Link) -> (RealmId, u32) {
    loop {
        let frame = next_frame(link).await;
        if frame.1 < PROBE - 1 {
            return frame;
        }
    }
}

fn parse(delivery: &Delivery) -> Option<(RealmId, u32)> {
    match delivery {
        Delivery::Frame { realm, frame } => Some((*realm, number(frame))),
        Delivery::Gap | Delivery::Up | Delivery::Down => None,
    }
}

fn number(frame: &[u8]) -> u32 {
    let bytes = frame.try_into();
    assert!(bytes.is_ok(), "not a frame of this suite: {frame:?}");
    bytes.map_or(0, u32::from_le_bytes)
}

async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Lets the runtime's other tasks go on.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
