//! The least of HTTP/1.1: one request a connection, read to its end.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The head's lines after the first, as they came.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, decoded from chunks if it came in them.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header; its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }
}

/// Asks once. `headers` end in no line break; a body needs its content type among them.
pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut head =
        format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n", body.len());
    // An upgrade has its own word there.
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection")) {
        head.push_str("Connection: close\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    within("an HTTP answer", async {
        let mut tcp = TcpStream::connect(address).await.expect("the server accepts");
        tcp.write_all(head.as_bytes()).await.expect("the server reads");
        tcp.write_all(body).await.expect("the server reads");
        read_answer(&mut tcp).await
    })
    .await
}

async fn read_answer(tcp: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            break end;
        }
        assert_ne!(tcp.read_buf(&mut bytes).await.expect("an answer"), 0, "the answer ends within its head");
    };
    let mut body = bytes.split_off(head_end + 4);
    let head = String::from_utf8(bytes).expect("a head is ASCII");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer { status: status.parse().expect("a status code"), headers, body: Vec::new() };
    if answer.status == 101 {
        return answer;
    }
    if let Some(length) = answer.header("content-length") {
        let length: usize = length.parse().expect("a length");
        while body.len() < length {
            assert_ne!(tcp.read_buf(&mut body).await.expect("a body"), 0, "the answer ends within its body");
        }
        answer.body = body;
    } else {
        tcp.read_to_end(&mut body).await.expect("a body");
        let chunked = answer.header("transfer-encoding") == Some("chunked");
        answer.body = if chunked { unchunk(&body) } else { body };
    }
    answer
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line_end = find(rest, b"\r\n").expect("a chunk's size");
        let line = std::str::from_utf8(&rest[..line_end]).expect("a size is ASCII");
        let size = usize::from_str_radix(line.trim(), 16).expect("a size in hexadecimal");
        if size == 0 {
            return body;
        }
        let start = line_end + 2;
        body.extend_from_slice(&rest[start..start + size]);
        rest = &rest[start + size + 2..];
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
