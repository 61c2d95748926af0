//! How long a frame takes from one process to another, and what a burst costs.

use std::time::{Duration, Instant};

use bytes::Bytes;
use squall_bus::{Bus as _, Delivery};
use squall_servers::Redis;

use crate::bench::{REALM, bus, patient};

#[tokio::test]
async fn frames_come_within_milliseconds_and_by_the_thousand() {
    let redis = Redis::start();
    let publisher = bus(&redis.url(), patient()).await;
    let mut link = bus(&redis.url(), patient()).await.open();
    link.subscribe(REALM);
    assert_eq!(link.recv().await, Delivery::Up);
    let frame = Bytes::from(vec![7; 300]);

    let mut times = Vec::new();
    for _ in 0..2_000 {
        let start = Instant::now();
        assert!(publisher.publish(REALM, frame.clone()).await.is_ok());
        assert!(matches!(link.recv().await, Delivery::Frame { .. }));
        times.push(start.elapsed());
    }
    times.sort();
    let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("publish to receive, one by one: median {median:?}, p99 {p99:?}");
    // Far above what is seen, because the machine may be busy.
    assert!(median < Duration::from_millis(20));

    let (start, count) = (Instant::now(), 20_000);
    let publishing = async {
        for _ in 0..count {
            assert!(publisher.publish(REALM, frame.clone()).await.is_ok());
        }
    };
    let receiving = async {
        for _ in 0..count {
            assert!(matches!(link.recv().await, Delivery::Frame { .. }));
        }
    };
    tokio::join!(publishing, receiving);
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    println!("20,000 frames of 300 bytes: {rate:.0} a second");
    assert!(rate > 1_000.0);
}
