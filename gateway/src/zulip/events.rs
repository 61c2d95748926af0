//! `GET events`: a poll of a queue; `DELETE events`: its end.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use squall_protocol::link::RegisterCall;
use squall_zulip::answer::json_response;
use squall_zulip::{Answer, ApiError, EventId};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Call, Zulip, going};
use crate::shard::{GuestPurpose, GuestRequest, PollRequest, ShardInput};

/// A poll that is answered by nobody in this time ends: no shard forgets one for so long.
const ANSWER_MAX: Duration = Duration::from_secs(80);

impl Zulip {
    pub(super) async fn poll<W>(
        &self,
        call: Call,
        waiting: impl FnOnce() -> W,
    ) -> Result<Response<Bytes>, ApiError> {
        let Call { credentials, params, .. } = call;
        let dont_block = params.flag("dont_block", false)?;
        let last: Option<i64> = params.json("last_event_id", "an event ID")?;
        let Some(queue_id) = params.text("queue_id").map(str::to_owned) else {
            if dont_block {
                return self.register_by_poll(Call { credentials, params, method: call.method }).await;
            }
            return Err(ApiError::missing("queue_id"));
        };
        let identity = self.identify(&credentials).await?;
        let queue = self.queue(&queue_id, &identity).await?;
        // Before the queue's beginning is its beginning, as a new client of Zulip says it: -1.
        let last = match last.filter(|last| *last >= 0) {
            Some(last) => EventId::parse(last).ok_or_else(|| ApiError::bad_queue(&queue_id))?,
            None => EventId::of(queue.base),
        };
        let (reply, answer) = oneshot::channel();
        let poll = PollRequest { queue, queue_id, last, dont_block, reply };
        let purpose = GuestPurpose::Poll(Box::new(poll));
        let email = credentials.email;
        let _waiting = waiting();
        self.shard.tell(ShardInput::Guest(Box::new(GuestRequest { identity, email, purpose })));
        match timeout(ANSWER_MAX, answer).await {
            Ok(Ok(answer)) => Ok(json_response(StatusCode::OK, answer?)),
            Ok(Err(_)) | Err(_) => Err(going()),
        }
    }

    /// A first poll that names no queue makes one.
    async fn register_by_poll(&self, call: Call) -> Result<Response<Bytes>, ApiError> {
        let (email, key) = (call.credentials.email, call.credentials.key);
        let mut params = call.params.all();
        params.retain(|(name, _)| name != "fetch_event_types" && name != "dont_block");
        params.push(("fetch_event_types".into(), "[]".into()));
        let reply = self.node.link.register(RegisterCall { email, key, params }).await;
        let reply = reply.map_err(super::unavailable)?;
        let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status != StatusCode::OK {
            return Ok(json_response(status, reply.body));
        }
        let made: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let answer = json!({
            "events": [],
            "queue_id": made["queue_id"],
            "last_event_id": made["last_event_id"],
        });
        Ok(Answer::new(answer).into_response(&[]))
    }

    pub(super) async fn forget_queue(&self, call: Call) -> Result<Response<Bytes>, ApiError> {
        let queue_id = call.params.required("queue_id")?;
        let identity = self.identify(&call.credentials).await?;
        let queue = self.queue(queue_id, &identity).await?;
        // Known once the realm says that the caller is let in.
        self.visit(identity, call.credentials.email.clone()).await?;
        if self.node.queues.forget(queue.tag()) {
            self.node.finish_poll(queue.tag());
            Ok(Answer::default().into_response(&call.params.unused()))
        } else {
            Err(ApiError::bad_queue(queue_id))
        }
    }
}
