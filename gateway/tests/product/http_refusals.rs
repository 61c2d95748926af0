//! Requests that are too slow, too long or too many: each is refused with a status of its own, and nobody else
//! hears of it.

use std::time::Duration;

use data_encoding::BASE64;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::bystanders::Bystanders;
use crate::support::http;
use crate::support::line::Line;
use crate::support::server::Server;
use crate::support::within;

#[tokio::test]
async fn a_head_that_comes_too_slowly_is_waited_for_no_longer_than_a_hello() {
    let server = Server::start_with(&["--hello-timeout", "1s"]).await;
    let mut others = Bystanders::talking(&server).await;
    let mut nothing = TcpStream::connect(server.address()).await.unwrap();
    let mut half = TcpStream::connect(server.address()).await.unwrap();
    half.write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let mut drip = TcpStream::connect(server.address()).await.unwrap();
    others
        .are_undisturbed_until(async {
            // However often a byte comes, the head as a whole has its time.
            let dripping = async {
                drip.write_all(b"GET / HTTP/1.1\r\nX-Drip: ").await.unwrap();
                while drip.write_all(b"x").await.is_ok() {
                    let mut answer = [0; 16];
                    let read = tokio::time::timeout(Duration::from_millis(20), drip.read(&mut answer));
                    if matches!(read.await, Ok(Ok(0) | Err(_))) {
                        return;
                    }
                }
            };
            within("the end of a head in drips", dripping).await;
            for slow in [&mut nothing, &mut half] {
                let mut answer = Vec::new();
                // An answer or none: what counts is that it ends.
                let _ = within("the end of a slow head", slow.read_to_end(&mut answer)).await;
                assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{answer:?}");
            }
        })
        .await;
}

#[tokio::test]
async fn a_head_too_long_is_answered_431() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    for (target, headers) in
        [("/ws".to_owned(), 64), (format!("/{}", "x".repeat(20_000)), 0), ("/".into(), 64)]
    {
        let value = "x".repeat(1_000);
        let headers: Vec<(&str, &str)> = vec![("X-Long", value.as_str()); headers];
        let answer = http::request(server.address(), "GET", &target, &headers, b"").await;
        assert!([414, 431].contains(&answer.status), "{}", answer.status);
        others.are_undisturbed().await;
    }
    // Many short ones are too many, too.
    let answer = http::request(server.address(), "GET", "/", &vec![("X", "y"); 200], b"").await;
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn a_body_too_long_is_answered_413() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    let zuliprc = server.zuliprc("chidi");
    let credentials =
        format!("Basic {}", BASE64.encode(format!("{}:{}", zuliprc.email, zuliprc.key).as_bytes()));
    // Longer than the limit of 1 MiB, and shorter than what sockets hold between them.
    let body = format!("content={}", "x".repeat(1024 * 1024));
    let headers =
        [("Authorization", credentials.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    let target = "/api/v1/messages";
    let answer = http::request(server.address(), "POST", target, &headers, body.as_bytes()).await;
    assert_eq!(answer.status, 413, "{:?}", String::from_utf8_lossy(&answer.body));
    others.are_undisturbed().await;
}

#[tokio::test]
async fn what_is_no_http_is_answered_400() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    let requests: [&[u8]; 3] =
        [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /ws HTTP/1.1\r\nbad header\r\n\r\n"];
    for request in requests {
        let mut tcp = TcpStream::connect(server.address()).await.unwrap();
        tcp.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let _ = within("an answer", tcp.read_to_end(&mut answer)).await;
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{:?}", String::from_utf8_lossy(&answer));
        others.are_undisturbed().await;
    }
}

#[tokio::test]
async fn a_socket_of_an_address_that_has_too_many_is_answered_429() {
    // Both bystanders, two more, and one for the calls of the API.
    let server = Server::start_with(&["--sockets-per-address-max", "5"]).await;
    let mut others = Bystanders::talking(&server).await;
    let held = [server.line().await, server.line().await, server.line().await];
    assert_eq!(status(&server).await, 429);
    assert!(Line::try_open(server.address(), None).await.is_err());
    others.are_undisturbed().await;
    drop(held);
    within("a place again", async { while status(&server).await != 200 {} }).await;
}

#[tokio::test]
async fn a_socket_beyond_those_a_node_may_hold_is_answered_503() {
    let server = Server::start_with(&["--sockets-max", "5"]).await;
    let mut others = Bystanders::talking(&server).await;
    let held = [server.line().await, server.line().await, server.line().await];
    for _ in 0..100 {
        assert_eq!(status(&server).await, 503);
    }
    others.are_undisturbed().await;
    drop(held);
    within("a place again", async { while status(&server).await != 200 {} }).await;
    drop(server.line().await);
}

/// The process can open nothing more: whoever comes is told so, whoever is there goes on, and when there are
/// descriptors again there are places again.
#[tokio::test]
async fn a_process_out_of_descriptors_refuses_and_recovers() {
    let server = Server::start().await;
    let mut others = Bystanders::talking(&server).await;
    let pid = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count() as u64;
    let set = |current| {
        // The hard limit, which it has from this process, stays.
        let limit = Rlimit { current: Some(current), maximum: getrlimit(Resource::Nofile).maximum };
        prlimit(Some(pid), Resource::Nofile, limit).expect("the limit can be set")
    };
    let before = set(open);
    let mut refused = 0;
    others
        .are_undisturbed_until(async {
            // Descriptors that were closed meanwhile are used up first; whoever says nothing at the door holds
            // nobody up behind it.
            let mut held = Vec::new();
            for _ in 0..SILENT {
                held.push(TcpStream::connect(server.address()).await.unwrap());
            }
            while refused < 3 {
                match status(&server).await {
                    503 => refused += 1,
                    200 => held.push(TcpStream::connect(server.address()).await.unwrap()),
                    other => panic!("{other}"),
                }
            }
        })
        .await;
    set(before.current.expect("there was a limit"));
    within("a place again", async { while status(&server).await != 200 {} }).await;
    drop(server.line().await);
    others.are_undisturbed().await;
}

/// More than the server holds descriptors back for.
const SILENT: usize = 40;

async fn status(server: &Server) -> u16 {
    http::request(server.address(), "GET", "/healthz", &[], b"").await.status
}
