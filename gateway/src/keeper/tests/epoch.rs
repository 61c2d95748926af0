//! A log that went back under a realm.

use std::sync::atomic::{AtomicUsize, Ordering};

use squall_hub::keeper::ReloadReason;

use super::*;

/// A log in epoch 1 until its epoch is renewed, which fails at first.
#[derive(Default)]
struct LogThatWentBack {
    seen: Arc<Mutex<Vec<Position>>>,
    loads: Arc<AtomicUsize>,
}

impl SilentLink for LogThatWentBack {
    fn realm_page(
        &self,
        _: RealmId,
        _: Option<PageCursor>,
    ) -> BoxFuture<'static, Result<RealmPage, LinkError>> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let is_renewed = self.seen.lock().unwrap().len() > 1;
        let as_of = if is_renewed { Position { epoch: Epoch(2), ..at(5) } } else { at(10) };
        let page = RealmPage { as_of, users: vec![], streams: vec![], members: vec![], next: None };
        Box::pin(std::future::ready(Ok(page)))
    }

    fn renew_epoch(&self, _: RealmId, seen: Position) -> BoxFuture<'static, Result<Position, LinkError>> {
        let mut asked = self.seen.lock().unwrap();
        asked.push(seen);
        let renewed = if asked.len() > 1 {
            Ok(Position { epoch: Epoch(2), ..at(5) })
        } else {
            Err(LinkError::Unavailable("away".into()))
        };
        Box::pin(std::future::ready(renewed))
    }
}

#[tokio::test]
async fn a_log_that_went_back_has_a_new_epoch_before_its_realm_is_loaded_anew() {
    let link = LogThatWentBack::default();
    let (seen, loads) = (link.seen.clone(), link.loads.clone());
    let mut open = OpenRealm::on(Arc::new(link)).await;
    open.realm.handle_head(0, Sequence(10), at(5), 0, &mut open.tasks);
    open.run_errands().await;
    assert_eq!(*seen.lock().unwrap(), [at(10)], "what this node has proof of is named");
    assert_eq!(loads.load(Ordering::Relaxed), 1, "nothing of the old epoch is loaded");
    assert!(open.shard.try_recv().is_none());

    open.realm.handle_tick(10_000, &mut open.tasks);
    open.run_errands().await;
    assert_eq!(*seen.lock().unwrap(), [at(10), at(10)], "asked again, of the same place");
    let Some(ShardInput::RealmReset { view, why }) = open.shard.try_recv() else {
        panic!("expected a reset")
    };
    assert_eq!((why, view.load().ring.head().epoch), (ReloadReason::Epoch, Epoch(2)));
}
