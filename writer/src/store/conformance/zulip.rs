//! What every store must do for Zulip's clients.

use super::*;

/// Makes a test of each promise.
macro_rules! zulip_conformance {
    ($open:expr; $($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            let (store, _guard) = $open;
            let bench = crate::store::conformance::Bench::new(store).await;
            crate::store::conformance::zulip::$name(bench).await;
        }
    )*};
    ($open:expr) => {
        crate::store::conformance::zulip::zulip_conformance! { $open;
            the_secret_of_queues_is_made_once
            a_registration_is_one_snapshot
        }
    };
}
pub(crate) use zulip_conformance;

pub(crate) async fn the_secret_of_queues_is_made_once(bench: Bench) {
    let first = bench.store.queue_secret().await.unwrap();
    assert_ne!(first, [0; 32]);
    assert_eq!(bench.store.queue_secret().await.unwrap(), first);
}

pub(crate) async fn a_registration_is_one_snapshot(mut bench: Bench) {
    let empty = bench.store.registration(bench.realm, MEMBER, true).await.unwrap();
    assert_eq!(empty.value.max_message_id, None);
    assert_eq!(empty.value.realm_name, "Bench");
    let received = bench.send(ADMIN, GENERAL, "t", "a").await;
    bench.send(ADMIN, LEADS, "t", "b").await;
    let found = bench.store.registration(bench.realm, GUEST, true).await.unwrap();
    assert_eq!(found.as_of, bench.log(0, 1).await.head);
    assert_eq!(found.value.users.len(), 4);
    assert_eq!(found.value.max_message_id, Some(received), "what the guest received");
    let names: Vec<_> = found.value.streams.iter().map(|view| view.stream.name.as_str()).collect();
    assert_eq!(names, ["general"]);
    assert_eq!(found.value.streams[0].members, [ADMIN, MEMBER, GUEST]);
    let unknown = bench.store.registration(RealmId(77), ADMIN, false).await;
    assert_eq!(unknown.err(), Some(StoreError::UnknownRealm(RealmId(77))));
}
