//! Whether the bus can be reached.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use squall_bus::{Bus, Delivery};
use tokio::task::JoinHandle;

/// Watches a bus by a link of its own, until it is dropped.
pub(crate) struct BusWatch {
    /// Since when it can't be reached; none while it can.
    down: Arc<Mutex<Option<Instant>>>,
    task: JoinHandle<()>,
}

impl BusWatch {
    /// Watches from the current tokio runtime.
    pub(crate) fn start(bus: &Arc<dyn Bus>) -> Self {
        let (mut link, down) = (bus.open(), Arc::<Mutex<Option<Instant>>>::default());
        let told = Arc::clone(&down);
        let task = tokio::spawn(async move {
            loop {
                let delivery = link.recv().await;
                let mut down = told.lock().unwrap_or_else(PoisonError::into_inner);
                match delivery {
                    Delivery::Up => *down = None,
                    Delivery::Down => *down = down.or_else(|| Some(Instant::now())),
                    Delivery::Frame { .. } | Delivery::Gap => {}
                }
            }
        });
        Self { down, task }
    }

    /// Why nothing can be published; none if it can.
    pub(crate) fn fault(&self) -> Option<String> {
        let down = *self.down.lock().unwrap_or_else(PoisonError::into_inner);
        down.map(|since| format!("not reached for {} s", since.elapsed().as_secs()))
    }
}

impl Drop for BusWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use squall_bus::{BoxFuture, Link, PublishError};
    use squall_protocol::RealmId;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::*;

    /// A bus that says what a test wants.
    struct Told(Mutex<Option<UnboundedReceiver<Delivery>>>);

    struct ToldLink(UnboundedReceiver<Delivery>);

    impl Bus for Told {
        fn publish(&self, _: RealmId, _: Bytes) -> BoxFuture<'_, Result<(), PublishError>> {
            unreachable!("nobody publishes")
        }

        fn open(&self) -> Box<dyn Link> {
            Box::new(ToldLink(self.0.lock().unwrap().take().unwrap()))
        }
    }

    impl Link for ToldLink {
        fn subscribe(&mut self, _: RealmId) {}

        fn unsubscribe(&mut self, _: RealmId) {}

        fn recv(&mut self) -> BoxFuture<'_, Delivery> {
            Box::pin(async { self.0.recv().await.unwrap_or(Delivery::Gap) })
        }
    }

    fn watched() -> (BusWatch, UnboundedSender<Delivery>) {
        let (say, said) = unbounded_channel();
        let bus: Arc<dyn Bus> = Arc::new(Told(Mutex::new(Some(said))));
        (BusWatch::start(&bus), say)
    }

    async fn until(what: impl Fn() -> bool) {
        while !what() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_bus_is_at_fault_from_when_it_is_down_until_it_is_up() {
        let (watch, say) = watched();
        assert_eq!(watch.fault(), None);
        say.send(Delivery::Down).unwrap();
        until(|| watch.fault().is_some()).await;
        assert_eq!(watch.fault().unwrap(), "not reached for 0 s");
        say.send(Delivery::Up).unwrap();
        until(|| watch.fault().is_none()).await;
    }
}
