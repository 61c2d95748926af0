use axum::body::to_bytes;
use axum::http::{Request, StatusCode};
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::*;
use crate::testing::writer;

struct Admin {
    writer: Writer,
    _dir: TempDir,
}

async fn admin() -> Admin {
    let (writer, dir) = writer().await;
    let admin = Admin { writer, _dir: dir };
    admin.lines("POST", "/admin/realms", r#"{"name": "Test"}"#).await;
    admin
}

impl Admin {
    async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        let response = self.writer.admin().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn lines(&self, method: &str, path: &str, body: &str) -> Vec<Value> {
        let (status, body) = self.send(method, path, body.to_owned()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or("done")
}

#[tokio::test]
async fn realms_are_made_line_by_line() {
    let admin = admin().await;
    let answers = admin.lines("POST", "/admin/realms", "{\"name\":\"B\"}\n\n{\"name\":\"b\"}\n{}\nx\n").await;
    assert_eq!(answers[0], json!({"realm_id": 2, "name": "B"}));
    assert_eq!(answers[1..].iter().map(code).collect::<Vec<_>>(), ["invalid_content"; 3]);
    assert!(answers[2]["error"]["message"].as_str().unwrap().starts_with("line 4: missing field `name`"));
}

#[tokio::test]
async fn users_keep_their_lines_order_whatever_becomes_of_them() {
    let admin = admin().await;
    admin.lines("POST", "/admin/realms", r#"{"name": "Second"}"#).await;
    admin.lines("POST", "/admin/streams", r#"{"realm": 1, "name": "general"}"#).await;
    let body = r#"
        {"realm": "test", "email": "a@x", "full_name": "A", "role": "admin", "streams": ["general"]}
        {"realm": 1, "email": "b@x", "full_name": "B", "is_bot": true}
        {"realm": 2, "email": "a@x", "full_name": "A of the second"}
        {"realm": 3, "email": "c@x", "full_name": "C"}
        nonsense
        {"realm": 1, "email": "a@x", "full_name": "taken"}
        {"realm": 1, "email": "c@x", "full_name": "C", "rolle": "admin"}
        {"realm": 1, "email": "d@x", "full_name": "D", "streams": ["nowhere"]}
        {"realm": "1", "email": "e@x", "full_name": "no realm has this name"}
        {"realm": 1, "email": "f@x", "full_name": "F", "role": "guest"}
    "#;
    let answers = admin.lines("POST", "/admin/users", body).await;
    let codes: Vec<_> = answers.iter().map(code).collect();
    assert_eq!(
        codes,
        [
            "done",
            "done",
            "done",
            "unknown_user",
            "invalid_content",
            "forbidden",
            "invalid_content",
            "unknown_stream",
            "unknown_user",
            "done",
        ]
    );
    let ids: Vec<_> = answers.iter().filter_map(|answer| answer["user_id"].as_u64()).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    let key = answers[2]["api_key"].as_str().unwrap();
    assert_eq!(admin.writer.identify(key).await.unwrap().unwrap().realm_id, RealmId(2));
    let page = admin.writer.realm_page(RealmId(1), None).await.unwrap();
    assert_eq!((page.users[0].user.role, page.users[1].user.is_bot), (Role::Admin, true));
    assert_eq!(page.members.len(), 1);
}

#[tokio::test]
async fn users_are_changed_and_get_new_keys() {
    let admin = admin().await;
    let made = admin.lines("POST", "/admin/users", r#"{"realm": 1, "email": "a@x", "full_name": "A"}"#).await;
    let old = made[0]["api_key"].as_str().unwrap();
    let key = admin.lines("POST", "/admin/keys", r#"{"realm": "Test", "email": "A@x"}"#).await;
    let key = key[0]["api_key"].as_str().unwrap().to_owned();
    assert!(admin.writer.identify(old).await.unwrap().is_none());
    assert!(admin.writer.identify(&key).await.unwrap().is_some());
    let body = r#"
        {"realm": 1, "email": "a@x", "role": "guest"}
        {"realm": 1, "email": "a@x", "is_active": false}
        {"realm": 1, "email": "nobody@x", "is_active": false}
        {"realm": 9, "email": "a@x", "is_active": false}
        {"realm": 1, "email": "a@x", "full_name": ""}
        {"realm": 1}
    "#;
    let answers = admin.lines("PATCH", "/admin/users", body).await;
    let codes: Vec<_> = answers.iter().map(code).collect();
    assert_eq!(codes, ["done", "done", "unknown_user", "unknown_user", "invalid_content", "invalid_content"]);
    assert_eq!(answers[0], json!({"sequence": 3}));
    assert!(admin.writer.identify(&key).await.unwrap().is_none(), "deactivated");
    let answers = admin.lines("POST", "/admin/keys", "{\"realm\": 1, \"email\": \"nobody@x\"}\n[]").await;
    assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), ["unknown_user", "invalid_content"]);
}

#[tokio::test]
async fn streams_are_made_with_their_members() {
    let admin = admin().await;
    admin.lines("POST", "/admin/users", r#"{"realm": 1, "email": "a@x", "full_name": "A"}"#).await;
    let body = r#"
        {"realm": 1, "name": "general", "description": "d", "invite_only": true, "members": ["a@x"]}
        {"realm": 1, "name": "General"}
        {"realm": 1, "name": "other", "members": ["nobody@x"]}
        {"realm": "no", "name": "other"}
    "#;
    let answers = admin.lines("POST", "/admin/streams", body).await;
    assert_eq!(answers[0], json!({"stream_id": 1, "name": "general"}));
    assert_eq!(
        answers[1..].iter().map(code).collect::<Vec<_>>(),
        ["forbidden", "unknown_user", "unknown_user"]
    );
    let page = admin.writer.realm_page(RealmId(1), None).await.unwrap();
    assert!(page.streams[0].invite_only);
    assert_eq!(page.members.len(), 1);
}

#[tokio::test]
async fn a_closed_writer_and_a_body_too_large_are_errors() {
    let admin = admin().await;
    let large = vec![b' '; BODY_BYTES_MAX + 1];
    assert_eq!(admin.send("POST", "/admin/users", large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(admin.send("GET", "/readyz", Body::empty()).await.0, StatusCode::OK);
    admin.writer.clone().close().await;
    assert_eq!(admin.send("GET", "/readyz", Body::empty()).await.0, StatusCode::SERVICE_UNAVAILABLE);
    for (method, path, line) in [
        ("POST", "/admin/realms", r#"{"name": "X"}"#),
        ("POST", "/admin/users", r#"{"realm": 1, "email": "a@x", "full_name": "A"}"#),
        ("PATCH", "/admin/users", r#"{"realm": 1, "email": "a@x"}"#),
        ("POST", "/admin/keys", r#"{"realm": 1, "email": "a@x"}"#),
        ("POST", "/admin/streams", r#"{"realm": 1, "name": "s"}"#),
    ] {
        assert_eq!(code(&admin.lines(method, path, line).await[0]), "unavailable", "{path}");
    }
}

#[tokio::test]
async fn what_was_asked_is_counted_by_kind() {
    let admin = admin().await;
    let before = admin.lines("GET", "/admin/stats", "").await.remove(0);
    let [realm, other] = [RealmId(1), RealmId(9)];
    admin.writer.heads(vec![realm], None).await.unwrap();
    admin.writer.read_log(realm, squall_protocol::Sequence(0), 1).await.unwrap();
    admin.writer.realm_page(other, None).await.unwrap_err();
    admin.lines("POST", "/admin/users", r#"{"realm": 1, "email": "a@x", "full_name": "A"}"#).await;
    let after = admin.lines("GET", "/admin/stats", "").await.remove(0);
    let grown = |path: &str| {
        let count = |stats: &Value| stats.pointer(path).and_then(Value::as_u64).unwrap();
        count(&after) - count(&before)
    };
    assert_eq!(
        ["/link/heads", "/link/read_log", "/link/realm_page", "/link/identify"].map(grown),
        [1, 1, 1, 0]
    );
    // The three above, and the realm's id for the user's line.
    assert_eq!(["/database/reads", "/database/failures"].map(grown), [4, 1]);
    assert_eq!(["/database/commits", "/database/committed_requests"].map(grown), [1, 1]);
}
