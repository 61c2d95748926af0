//! `register`: an event queue, and the state that its client starts from, both as of one position.
//!
//! The gateway takes the request: presence is its own to add, and the queue is served there.

mod own;
mod realm;

use std::time::Instant;

use serde_json::{Map, Value, json};
use squall_protocol::link::{Identity, PresenceWanted, RegisterCall, RegisterReply};
use squall_protocol::{MessageId, UserId};
use squall_zulip::answer::add_quota;
use squall_zulip::queue::includes_subscribers;
use squall_zulip::settings::{Part, Settings};
use squall_zulip::streams::subscription;
use squall_zulip::{
    Credentials, EventId, Params, Queue, QueueKey, QueueOptions, ZULIP_FEATURE_LEVEL, ZULIP_VERSION, people,
};

use super::answer::{Answer, ApiError};
pub(super) use own::preferences;

use super::streams;
use crate::Writer;
use crate::clock::now_s;
use crate::limits::UNREAD_MAX;
use crate::secret::{KeyHash, random_number};
use crate::store::{Account, Own, Registration, Stamped, StreamView};

/// Answers a registration as a whole, refusals too.
pub(crate) async fn register(writer: &Writer, call: RegisterCall) -> RegisterReply {
    let RegisterCall { email, key, params } = call;
    let (credentials, params) = (Credentials { email, key }, Params::of(params));
    let caller = async {
        let account = writer.store().account(KeyHash::of(&credentials.key)).await?;
        let account = account.filter(|account| credentials.names(&account.user.email));
        let account = account.ok_or_else(ApiError::invalid_key)?;
        let quota = writer.rate_limit().take(account.user.user_id, Instant::now())?;
        Ok((account, quota))
    };
    let (mut answer, presence, quota) = match caller.await {
        Err(error) => {
            let error: ApiError = error;
            let quota = error.quota();
            (error.into_response(), None, quota)
        }
        Ok((account, quota)) => match answer(writer, &account, &params).await {
            Err(error) => (error.into_response(), None, quota),
            Ok((answer, presence)) => (answer.into_response(&params.unused()), presence, quota),
        },
    };
    if let Some(quota) = quota {
        add_quota(answer.headers_mut(), quota, now_s());
    }
    let (parts, body) = answer.into_parts();
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        Some((name.to_string(), value.to_str().ok()?.to_owned()))
    };
    let headers = parts.headers.iter().filter_map(header).collect();
    RegisterReply { status: parts.status.as_u16(), headers, body, presence }
}

async fn answer(
    writer: &Writer,
    account: &Account,
    params: &Params,
) -> Result<(Answer, Option<PresenceWanted>), ApiError> {
    let options = QueueOptions::read(params)?;
    let wanted = Wanted::read(params)?;
    let (realm_id, user_id) = (account.realm.realm_id, account.user.user_id);
    let days = params.json("presence_history_limit_days", "a number of days")?.unwrap_or(14);
    let secret = writer.store().queue_secret().await?;
    let with_members = includes_subscribers(params)?;
    let found = writer.store().registration(realm_id, user_id, with_members).await?;
    let identity = Identity { realm_id, user_id, as_of: found.as_of };
    raise_floor(writer, user_id, &found.value);
    let presence = PresenceWanted { identity, slim: options.slim_presence, days };
    let presence = Some(presence).filter(|_| wanted.has("presence"));
    let queue = Queue { realm_id, user_id, base: found.as_of, options, nonce: random_number() };
    let mut answer = state(account, &found, &wanted, with_members, writer.config().public_url.as_deref());
    answer.insert("queue_id".into(), queue.id(&QueueKey::new(&secret))?.into());
    answer.insert("last_event_id".into(), EventId::of(found.as_of).number().into());
    answer.insert("as_of".into(), squall_zulip::answer::as_of(found.as_of));
    Ok((Answer(answer), presence))
}

/// Tells the store, in its own time, what it need not look at again: all below the oldest unread message.
fn raise_floor(writer: &Writer, user_id: UserId, found: &Registration) {
    let Own { unread, .. } = &found.own;
    let floor = match unread.last() {
        // There may be more.
        Some(_) if unread.len() >= UNREAD_MAX => return,
        Some(oldest) => oldest.message_id.0.checked_sub(1).map(MessageId),
        None => found.max_message_id,
    };
    let Some(floor) = floor.filter(|floor| floor.0 > 0) else { return };
    let writer = writer.clone();
    tokio::spawn(async move {
        if let Err(error) = writer.store().raise_floor(user_id, floor).await {
            tracing::debug!(%error, "a floor stays");
        }
    });
}

/// Which parts of the state a client asked for.
struct Wanted(Option<Vec<String>>);

impl Wanted {
    fn read(params: &Params) -> Result<Self, ApiError> {
        let what = "a list of event types";
        let fetched: Option<Vec<String>> = params.json("fetch_event_types", what)?;
        let types: Option<Vec<String>> = params.json("event_types", what)?;
        Ok(Self(fetched.or(types)))
    }

    fn has(&self, part: &str) -> bool {
        self.0.as_ref().is_none_or(|parts| parts.iter().any(|wanted| wanted == part))
    }
}

fn state(
    account: &Account,
    found: &Stamped<Registration>,
    wanted: &Wanted,
    with_members: bool,
    url: Option<&str>,
) -> Map<String, Value> {
    let Registration { realm_name, users, streams, max_message_id, own } = &found.value;
    let mut state = Answer::new(json!({
        "zulip_version": ZULIP_VERSION,
        "zulip_feature_level": ZULIP_FEATURE_LEVEL,
        "zulip_merge_base": ZULIP_VERSION,
    }))
    .0;
    let mut add = |part: &str, fields: &dyn Fn() -> Value| {
        if wanted.has(part) {
            state.extend(Answer::new(fields()).0);
        }
    };
    add("realm", &|| realm::fields(realm_name, url.unwrap_or_default()));
    add("realm_user", &|| {
        let (active, gone): (Vec<_>, Vec<_>) = users.iter().partition(|user| user.is_active);
        let objects = |users: Vec<_>| users.into_iter().map(people::user).collect::<Vec<_>>();
        json!({
            "realm_users": objects(active),
            "realm_non_active_users": objects(gone),
            "cross_realm_bots": [],
        })
    });
    add("realm_user", &|| own_user(account));
    add("stream", &|| json!({ "streams": streams.iter().map(streams::object).collect::<Vec<_>>() }));
    add("subscription", &|| subscriptions(own, streams, with_members));
    add("message", &|| json!({ "max_message_id": max_message_id.unwrap_or(MessageId(0)) }));
    if wanted.has("message") && wanted.has("update_message_flags") {
        add("message", &|| json!({ "unread_msgs": own::unread(own, account.user.user_id) }));
    }
    add("starred_messages", &|| json!({ "starred_messages": own.starred }));
    if !wanted.has("user_topic") || wanted.0.is_none() {
        add("muted_topics", &|| json!({ "muted_topics": own::muted_topics(own, streams) }));
    }
    add("user_topic", &|| json!({ "user_topics": own::user_topics(own) }));
    let settings = Settings::of(own.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    add("user_settings", &|| json!({ "user_settings": settings.all() }));
    add("update_display_settings", &|| settings.part(Part::Display));
    add("update_global_notifications", &|| settings.part(Part::Notifications));
    for (part, fields) in EMPTY {
        let value = if fields.1 { json!({}) } else { json!([]) };
        add(part, &|| json!({ fields.0: value }));
    }
    state
}

/// Parts of Zulip's state that are always empty here, their fields, and whether these are objects.
const EMPTY: [(&str, (&str, bool)); 10] = [
    ("realm_emoji", ("realm_emoji", true)),
    ("realm_user_groups", ("realm_user_groups", false)),
    ("realm_linkifiers", ("realm_linkifiers", false)),
    ("realm_bot", ("realm_bots", false)),
    ("muted_users", ("muted_users", false)),
    ("user_status", ("user_status", true)),
    ("alert_words", ("alert_words", false)),
    ("custom_profile_fields", ("custom_profile_fields", false)),
    ("recent_private_conversations", ("recent_private_conversations", false)),
    ("drafts", ("drafts", false)),
];

fn own_user(account: &Account) -> Value {
    let mut own = people::user(&account.user);
    if let Value::Object(fields) = &mut own {
        for foreign in ["is_bot", "is_active", "bot_type", "bot_owner_id", "profile_data", "timezone"] {
            fields.remove(foreign);
        }
        fields.insert("is_moderator".into(), false.into());
        fields.insert("avatar_source".into(), "G".into());
        fields.insert("avatar_url_medium".into(), Value::Null);
    }
    own
}

fn subscriptions(own: &Own, streams: &[StreamView], with_members: bool) -> Value {
    let object = |view: &StreamView| {
        let members: Option<&[UserId]> = with_members.then_some(&view.members);
        subscription(streams::object(view), &preferences(&own.subscriptions, view), members)
    };
    let (entered, others): (Vec<_>, Vec<_>) = streams.iter().partition(|view| view.subscribed);
    let never: Vec<Value> = others.into_iter().map(|view| streams::object(view).into()).collect();
    json!({
        "subscriptions": entered.into_iter().map(object).collect::<Vec<_>>(),
        // Who left a stream has kept nothing of its own of it.
        "unsubscribed": [],
        "never_subscribed": never,
    })
}
