//! What holds for whatever bytes come before a WebSocket is one.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, ready};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderMap, ORIGIN};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use squall_protocol::Codec;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use super::upgrade::{self, HEAD_BYTES_MAX, Head, UpgradeError};

/// The first byte is the size of the pieces in which the socket brings the rest. It comes to an end; whatever
/// was accepted had a right to it, with or without the short cut; and what we answer does not depend on the pieces. (What hyper itself answers
/// to what is no HTTP/1 may: it tells HTTP/2 apart only if it comes in one piece.)
pub(crate) fn check(bytes: &[u8]) {
    let Some((&size, stream)) = bytes.split_first() else { return };
    let whole = serve(stream, stream.len().max(1));
    assert_eq!(serve(stream, usize::from(size) + 1), whole, "in pieces");
    check_short_cut(stream, &whole, usize::from(size) + 1);
}

const ALLOWED: &str = "https://app.example";

/// What the shard says yes to without HTTP, HTTP would have said yes to; and it says so only to a whole head.
fn check_short_cut(stream: &[u8], answers: &[StatusCode], step: usize) {
    let read = |bytes| upgrade::read(bytes, &[ALLOWED.to_owned()]);
    match read(stream) {
        Head::Upgrade(_, bytes) => {
            assert_eq!(answers, [StatusCode::SWITCHING_PROTOCOLS], "as HTTP answers it");
            assert!(bytes <= HEAD_BYTES_MAX && stream[..bytes].ends_with(b"\n"));
            (0..bytes).step_by(step).for_each(|cut| assert_eq!(read(&stream[..cut]), Head::Partial));
        }
        Head::Partial => assert!(answers.is_empty(), "HTTP waits for the rest as well"),
        Head::Other => {}
    }
}

/// What is answered to the requests in `stream`.
fn serve(stream: &[u8], size: usize) -> Vec<StatusCode> {
    let answers = RefCell::new(Vec::new());
    let socket = Socket { rest: Bytes::copy_from_slice(stream), size };
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(&request);
        answers.borrow_mut().push(answer.status());
        ready(Ok::<_, Infallible>(answer))
    });
    let connection = http1::Builder::new()
        .auto_date_header(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(socket, service)
        .with_upgrades();
    let (mut connection, mut context) = (pin!(connection), Context::from_waker(Waker::noop()));
    let turns_max = stream.len() + 16;
    let ended = (0..turns_max).any(|_| connection.as_mut().poll(&mut context).is_ready());
    assert!(ended, "a socket that was closed is done with");
    let answers = answers.take();
    let upgraded = answers.iter().position(|status| *status == StatusCode::SWITCHING_PROTOCOLS);
    assert!(
        upgraded.is_none_or(|index| index + 1 == answers.len()),
        "after an upgrade there are no requests"
    );
    answers
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, headers, words) = match upgrade::accept(request, &[ALLOWED.to_owned()]) {
        Ok(upgrade) => {
            let response = upgrade.response();
            check_accepted(request, upgrade.codec, &response);
            (response.status(), response.headers().clone(), String::new())
        }
        Err(error) => {
            assert!(error.status().is_client_error());
            if let UpgradeError::Handshake(_) = error {
                assert!(create_response_with_body(request, || ()).is_err(), "tungstenite would: {error}");
            }
            (error.status(), HeaderMap::new(), error.to_string())
        }
    };
    let mut answer = Response::new(Full::new(Bytes::from(words)));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// The rules once more, as plainly as they can be put.
fn check_accepted(request: &Request<Incoming>, codec: Codec, response: &Response<()>) {
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(request.method(), Method::GET);
    assert_eq!(response.headers()["sec-websocket-protocol"], codec.subprotocol());
    let Ok(expected) = create_response_with_body(request, || ()) else { panic!("none to tungstenite") };
    for name in ["connection", "upgrade", "sec-websocket-accept"] {
        assert_eq!(response.headers()[name], expected.headers()[name]);
    }
    let offers = request.headers().get_all("sec-websocket-protocol");
    let mut offers = offers.iter().map(|list| String::from_utf8_lossy(list.as_bytes()));
    assert!(offers.any(|list| list.contains(codec.subprotocol())), "what was offered is spoken");
    if let Some(origin) = request.headers().get(ORIGIN) {
        let host = request.headers().get(HOST).map_or(&b""[..], |host| host.as_bytes());
        let own = [&b"://"[..], host].concat();
        assert!(origin == ALLOWED || origin.as_bytes().ends_with(&own), "{origin:?} is foreign");
    }
}

/// A peer that sends its bytes in pieces, then closes, and takes every answer.
struct Socket {
    rest: Bytes,
    size: usize,
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let taken = self.size.min(self.rest.len()).min(buffer.remaining());
        buffer.put_slice(&self.rest.split_to(taken));
        Poll::Ready(Ok(()))
    }
}

impl Write for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
