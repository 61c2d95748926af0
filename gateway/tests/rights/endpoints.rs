//! Who may call what of the HTTP API, and what the answer may tell.

use std::collections::BTreeSet;

use serde_json::json;
use squall_protocol::StreamId;

use crate::cast;
use crate::columns::{CLASSIFIED, House, INTERNAL};
use crate::findings::Findings;
use crate::support::http::{self, Answer};
use crate::support::operator::Account;
use crate::support::server::Server;
use crate::table::Table;

/// The rules of the messages' table, said by HTTP: `ok`, or the error's code. Here a stream may also be named;
/// the stranger's realm has streams of the same names, `secret` and `open`, in which it is. The one `put out`
/// was deactivated before; `nobody` has no credentials.
const ENDPOINTS: &str = "
    asked                                                      member in    member out             guest in     guest out              bot in       bot out                admin in     admin out              stranger               put out          nobody
    GET /healthz                                               ok           ok                     ok           ok                     ok           ok                     ok           ok                     ok                     ok               ok
    GET /readyz                                                ok           ok                     ok           ok                     ok           ok                     ok           ok                     ok                     ok               ok
    GET /server_settings                                       ok           ok                     ok           ok                     ok           ok                     ok           ok                     ok                     ok               ok
    GET /messages of all                                       ok           ok                     ok           ok                     ok           ok                     ok           ok                     ok                     INVALID_API_KEY  UNAUTHORIZED
    GET /messages of secret                                    ok           BAD_NARROW             ok           BAD_NARROW             ok           BAD_NARROW             ok           BAD_NARROW             BAD_NARROW             INVALID_API_KEY  UNAUTHORIZED
    GET /messages of open                                      ok           ok                     ok           BAD_NARROW             ok           ok                     ok           ok                     BAD_NARROW             INVALID_API_KEY  UNAUTHORIZED
    GET /messages of fellow                                    ok           ok                     ok           ok                     ok           ok                     ok           ok                     BAD_NARROW             INVALID_API_KEY  UNAUTHORIZED
    GET /messages of alien                                     BAD_NARROW   BAD_NARROW             BAD_NARROW   BAD_NARROW             BAD_NARROW   BAD_NARROW             BAD_NARROW   BAD_NARROW             ok                     INVALID_API_KEY  UNAUTHORIZED
    POST /messages to secret                                   ok           STREAM_DOES_NOT_EXIST  ok           STREAM_DOES_NOT_EXIST  ok           STREAM_DOES_NOT_EXIST  ok           STREAM_DOES_NOT_EXIST  STREAM_DOES_NOT_EXIST  INVALID_API_KEY  UNAUTHORIZED
    POST /messages to open                                     ok           BAD_REQUEST            ok           STREAM_DOES_NOT_EXIST  ok           BAD_REQUEST            ok           BAD_REQUEST            STREAM_DOES_NOT_EXIST  INVALID_API_KEY  UNAUTHORIZED
    POST /messages to fellow                                   ok           ok                     ok           ok                     ok           ok                     ok           ok                     BAD_REQUEST            INVALID_API_KEY  UNAUTHORIZED
    POST /messages to alien                                    BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            ok                     INVALID_API_KEY  UNAUTHORIZED
    POST /messages to gone                                     BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST            INVALID_API_KEY  UNAUTHORIZED
    POST /typing to secret                                     ok           STREAM_DOES_NOT_EXIST  ok           STREAM_DOES_NOT_EXIST  ok           STREAM_DOES_NOT_EXIST  ok           STREAM_DOES_NOT_EXIST  STREAM_DOES_NOT_EXIST  INVALID_API_KEY  UNAUTHORIZED
    POST /typing to open                                       ok           BAD_REQUEST            ok           STREAM_DOES_NOT_EXIST  ok           BAD_REQUEST            ok           BAD_REQUEST            STREAM_DOES_NOT_EXIST  INVALID_API_KEY  UNAUTHORIZED
    POST /typing to fellow                                     ok           ok                     ok           ok                     ok           ok                     ok           ok                     BAD_REQUEST            INVALID_API_KEY  UNAUTHORIZED
    POST /typing to alien                                      BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            ok                     INVALID_API_KEY  UNAUTHORIZED
    GET /users                                                 ok           ok                     ok           ok                     ok           ok                     ok           ok                     ok                     INVALID_API_KEY  UNAUTHORIZED
    GET /users/me                                              ok           ok                     ok           ok                     ok           ok                     ok           ok                     ok                     INVALID_API_KEY  UNAUTHORIZED
    GET /users/{user_id} of fellow                             ok           ok                     ok           ok                     ok           ok                     ok           ok                     BAD_REQUEST            INVALID_API_KEY  UNAUTHORIZED
    GET /users/{user_id} of alien                              BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            ok                     INVALID_API_KEY  UNAUTHORIZED
    GET /users/me/subscriptions                                ok           ok                     ok           ok                     ok           ok                     ok           ok                     ok                     INVALID_API_KEY  UNAUTHORIZED
    POST /users/me/subscriptions self to secret                ok           BAD_REQUEST            ok           BAD_REQUEST            ok           BAD_REQUEST            ok           BAD_REQUEST            ok                     INVALID_API_KEY  UNAUTHORIZED
    POST /users/me/subscriptions self to open                  ok           ok                     ok           BAD_REQUEST            ok           ok                     ok           ok                     ok                     INVALID_API_KEY  UNAUTHORIZED
    POST /users/me/subscriptions self to new                   ok           ok                     BAD_REQUEST  BAD_REQUEST            ok           ok                     ok           ok                     ok                     INVALID_API_KEY  UNAUTHORIZED
    POST /users/me/subscriptions other to secret               ok           BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            ok           BAD_REQUEST            ok           BAD_REQUEST            BAD_REQUEST            INVALID_API_KEY  UNAUTHORIZED
    POST /users/me/subscriptions other to open                 ok           ok                     BAD_REQUEST  BAD_REQUEST            ok           ok                     ok           ok                     BAD_REQUEST            INVALID_API_KEY  UNAUTHORIZED
    POST /users/me/subscriptions alien to open                 BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            ok                     INVALID_API_KEY  UNAUTHORIZED
    POST /users/me/subscriptions gone to open                  BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST            INVALID_API_KEY  UNAUTHORIZED
    DELETE /users/me/subscriptions self from secret            ok           BAD_REQUEST            ok           BAD_REQUEST            ok           BAD_REQUEST            ok           BAD_REQUEST            ok                     INVALID_API_KEY  UNAUTHORIZED
    DELETE /users/me/subscriptions self from open              ok           ok                     ok           BAD_REQUEST            ok           ok                     ok           ok                     ok                     INVALID_API_KEY  UNAUTHORIZED
    DELETE /users/me/subscriptions other from secret           BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            ok           BAD_REQUEST            BAD_REQUEST            INVALID_API_KEY  UNAUTHORIZED
    DELETE /users/me/subscriptions other from open             BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            BAD_REQUEST  BAD_REQUEST            ok           ok                     BAD_REQUEST            INVALID_API_KEY  UNAUTHORIZED
    GET /users/me/{stream_id}/topics of secret                 ok           BAD_REQUEST            ok           BAD_REQUEST            ok           BAD_REQUEST            ok           BAD_REQUEST            BAD_REQUEST            INVALID_API_KEY  UNAUTHORIZED
    GET /users/me/{stream_id}/topics of open                   ok           ok                     ok           BAD_REQUEST            ok           ok                     ok           ok                     BAD_REQUEST            INVALID_API_KEY  UNAUTHORIZED
    GET /streams                                               ok           ok                     ok           ok                     ok           ok                     ok           ok                     ok                     INVALID_API_KEY  UNAUTHORIZED
    GET /get_stream_id of secret                               ok           BAD_REQUEST            ok           BAD_REQUEST            ok           BAD_REQUEST            ok           BAD_REQUEST            ok                     INVALID_API_KEY  UNAUTHORIZED
    GET /get_stream_id of open                                 ok           ok                     ok           BAD_REQUEST            ok           ok                     ok           ok                     ok                     INVALID_API_KEY  UNAUTHORIZED
    GET /streams/{stream_id}/members of secret                 ok           BAD_REQUEST            ok           BAD_REQUEST            ok           BAD_REQUEST            ok           BAD_REQUEST            BAD_REQUEST            INVALID_API_KEY  UNAUTHORIZED
    GET /streams/{stream_id}/members of open                   ok           ok                     ok           BAD_REQUEST            ok           ok                     ok           ok                     BAD_REQUEST            INVALID_API_KEY  UNAUTHORIZED
";

/// Whose answers may hold words that are told to the members of a stream: those of `secret`, and of `open`
/// (whose history is open to all but guests).
const TOLD: &str = "
    words       member in  member out  guest in  guest out  bot in  bot out  admin in  admin out  stranger  put out  nobody
    classified  maybe      never       maybe     never      maybe   never    maybe     never      never     never    never
    internal    maybe      maybe       maybe     never      maybe   maybe    maybe     maybe      never     never    never
";

#[tokio::test]
async fn each_endpoint_is_for_those_who_may_call_it() {
    let server = Server::start().await;
    let table = Table::read(ENDPOINTS);
    let told = Table::read(TOLD);
    let house = House::build(&server, &table).await;
    let mut findings = Findings::default();
    for row in table.rows() {
        for column in table.columns() {
            let (actor, other) = house.actors(row, column);
            if column == "put out" {
                server.set_active(cast::REALM, &actor.email, false).await;
            }
            let call = Call::of(row, &house, other);
            let answer = call.make(&server, (column != "nobody").then_some(actor)).await;
            let cell = format!("{column} asks {row:?}");
            findings.check(&cell, &code(&answer).as_str(), &table.cell(row, column));
            let body = String::from_utf8_lossy(&answer.body);
            for words in
                [CLASSIFIED, INTERNAL].into_iter().filter(|words| told.cell(words, column) == "never")
            {
                findings.check(&format!("{cell}: the answer holds {words:?}"), &body.contains(words), &false);
            }
        }
    }
    assert_shown_to_members(&server, &house).await;
    findings.tell("endpoints");
}

/// The words that outsiders' answers are searched for are there to be found.
async fn assert_shown_to_members(server: &Server, house: &House) {
    for words in [CLASSIFIED, INTERNAL] {
        let call = Call::of("GET /messages of all", house, &house.fellow);
        let answer = call.make(server, Some(&house.fellow)).await;
        assert!(String::from_utf8_lossy(&answer.body).contains(words), "{words}");
    }
}

/// The routes in the writer's own words are the table's rows.
#[test]
fn each_endpoint_has_a_row() {
    let source = include_str!("../../../writer/src/api.rs");
    let mut routed = BTreeSet::new();
    for route in source.split(".route(").skip(1) {
        let path = route.split('"').nth(1).expect("a path");
        // What is registered with it: up to the next route, or whatever ends the chain.
        let handlers = route.split(".method_not_allowed_fallback").next().unwrap_or(route);
        let handlers = handlers.split(".with_state").next().unwrap_or(handlers);
        let handlers = handlers.split("\n}").next().unwrap_or(handlers);
        for method in ["get", "post", "put", "patch", "delete"] {
            let on = format!("on_{method}(");
            let bare = format!(" {method}(");
            if handlers.contains(&on) || handlers.contains(&bare) {
                routed.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    let table = Table::read(ENDPOINTS);
    let tried: BTreeSet<String> =
        table.rows().map(|row| row.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(routed, tried);
    // A router merged or nested here would have routes that are not read above.
    assert_eq!(source.matches(".nest(").count(), 1, "a router was nested: list its routes too");
    assert_eq!(source.matches("Router::new()").count(), 2, "a router was added: list its routes too");
}

/// What operators do is not at the clients' address.
#[tokio::test]
async fn no_operators_path_is_at_the_clients_address() {
    let server = Server::start().await;
    let source = include_str!("../../../writer/src/admin.rs");
    let paths: Vec<&str> =
        source.split(".route(").skip(1).filter_map(|route| route.split('"').nth(1)).collect();
    assert!(paths.len() >= 4, "{paths:?}");
    for path in paths {
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            let answer = http::request(server.address(), method, path, &[], b"{}").await;
            assert!([404, 405].contains(&answer.status), "{method} {path}: {}", answer.status);
        }
    }
}

/// One request.
struct Call {
    method: String,
    path: String,
    parameters: Vec<(&'static str, String)>,
}

impl Call {
    /// What a row of the table asks for.
    fn of(row: &str, house: &House, other: &Account) -> Self {
        let words: Vec<&str> = row.split(' ').collect();
        let about = words.get(2..).unwrap_or_default();
        let last = *words.last().expect("some words");
        let stream_id = stream_id(house, last);
        let account = account(house, other, if about.len() == 3 { about[0] } else { last });
        let path = words[1]
            .replace("{stream_id}", &stream_id.to_string())
            .replace("{user_id}", &account.map(|account| account.user_id.to_string()).unwrap_or_default());
        let parameters = match (words[0], words[1]) {
            ("GET", "/messages") => page(match account {
                Some(account) => json!([["dm", account.email]]),
                None if last == "all" => json!([]),
                None => json!([["stream", stream_id]]),
            }),
            ("POST", "/messages") => match account {
                Some(account) => vec![
                    ("type", "direct".into()),
                    ("to", json!([account.user_id]).to_string()),
                    ("content", "hello".into()),
                ],
                None => vec![
                    ("type", "stream".into()),
                    ("to", stream_id.to_string()),
                    ("topic", "greetings".into()),
                    ("content", "hello".into()),
                ],
            },
            ("POST", "/typing") => match account {
                Some(account) => {
                    vec![("op", "start".into()), ("to", json!([account.user_id]).to_string())]
                }
                None => vec![
                    ("op", "start".into()),
                    ("type", "stream".into()),
                    ("stream_id", stream_id.to_string()),
                    ("topic", "greetings".into()),
                ],
            },
            ("POST", "/users/me/subscriptions") => {
                let name = if last == "new" { format!("of {}", other.email) } else { last.to_owned() };
                principals(json!([{ "name": name }]), account)
            }
            ("DELETE", "/users/me/subscriptions") => principals(json!([last]), account),
            ("GET", "/users/me/subscriptions") => vec![("include_subscribers", "true".into())],
            ("GET", "/get_stream_id") => vec![("stream", last.into())],
            _ => Vec::new(),
        };
        Self { method: words[0].to_owned(), path, parameters }
    }

    async fn make(&self, server: &Server, account: Option<&Account>) -> Answer {
        let Self { method, path, parameters } = self;
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let health = path.ends_with("healthz") || path.ends_with("readyz");
        let target = path.trim_start_matches('/');
        match account {
            _ if health => http::request(server.address(), method, path, &[], b"").await,
            None => {
                let target = format!("/api/v1/{target}");
                http::request(server.address(), method, &target, &[], b"").await
            }
            Some(account) if method == "GET" => cast::api(server, account).get(target, &parameters).await,
            Some(account) => cast::api(server, account).call(method, target, &parameters).await,
        }
    }
}

fn stream_id(house: &House, name: &str) -> StreamId {
    if name == "secret" { house.secret } else { house.open }
}

/// The user that a word stands for, if it stands for one.
fn account<'a>(house: &'a House, other: &'a Account, word: &str) -> Option<&'a Account> {
    match word {
        "fellow" => Some(&house.fellow),
        "alien" => Some(&house.alien),
        "gone" => Some(&house.gone),
        "other" => Some(other),
        _ => None,
    }
}

fn page(narrow: serde_json::Value) -> Vec<(&'static str, String)> {
    vec![
        ("anchor", "newest".into()),
        ("num_before", "1000".into()),
        ("num_after", "0".into()),
        ("narrow", narrow.to_string()),
    ]
}

fn principals(streams: serde_json::Value, account: Option<&Account>) -> Vec<(&'static str, String)> {
    let mut parameters = vec![("subscriptions", streams.to_string())];
    parameters.extend(account.map(|account| ("principals", json!([account.user_id]).to_string())));
    parameters
}

/// `ok`, or the code of the error.
fn code(answer: &Answer) -> String {
    if answer.status == 200 {
        return "ok".to_owned();
    }
    answer.json()["code"].as_str().expect("an error has a code").to_owned()
}
