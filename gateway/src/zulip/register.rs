//! `POST register`: the writer's answer, with presence, which only a gateway knows.

use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;
use squall_protocol::link::{PresenceWanted, RegisterCall, RegisterReply};
use squall_zulip::ApiError;

use super::{Call, Zulip, presence};

impl Zulip {
    pub(super) async fn register(&self, call: Call) -> Result<Response<Bytes>, ApiError> {
        let (email, key) = (call.credentials.email, call.credentials.key);
        let asked = RegisterCall { email: email.clone(), key, params: call.params.all() };
        let reply = self.node.link.register(asked).await.map_err(super::unavailable)?;
        let RegisterReply { status, headers, mut body, presence } = reply;
        if let Some(wanted) = presence {
            body = with_fields(&body, &self.presence_fields(wanted, email).await?);
        }
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        Ok(response)
    }

    async fn presence_fields(
        &self,
        wanted: PresenceWanted,
        email: String,
    ) -> Result<serde_json::Value, ApiError> {
        let PresenceWanted { identity, slim, days } = wanted;
        let view = self.visit(identity, email).await?;
        let everybody = self.everybody(view.realm()).await?;
        let shown = everybody.shown_within(days);
        Ok(json!({
            "presences": presence::object(shown, slim, &view),
            "presence_last_update_id": everybody.update_id(),
            "server_timestamp": everybody.server_timestamp(),
        }))
    }
}

/// The object `body` with more fields, not read for it: it may be large.
fn with_fields(body: &Bytes, fields: &serde_json::Value) -> Bytes {
    let fields = fields.to_string();
    let (Some(open), Some(more)) = (body.strip_suffix(b"}"), fields.strip_prefix('{')) else {
        return body.clone();
    };
    let mut whole = BytesMut::with_capacity(body.len() + fields.len());
    whole.put_slice(open);
    whole.put_u8(b',');
    whole.put_slice(more.as_bytes());
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_added_at_the_end_of_an_object() {
        let whole = with_fields(&Bytes::from_static(b"{\"a\":1}"), &json!({ "b": 2 }));
        assert_eq!(whole, "{\"a\":1,\"b\":2}");
    }
}
