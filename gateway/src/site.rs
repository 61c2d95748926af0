//! The demo page and the browser client, out of the binary.

use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Request, Response, StatusCode};

use crate::http::{Body, full, is_read, text};

/// Address and content, as the build found them.
type File = (&'static str, &'static [u8]);

const FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/site_files.rs"));

/// No script or style but our own, no address but this server's.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Answers with a file.
pub(crate) fn answer<B>(request: &Request<B>) -> Response<Body> {
    if !is_read(request.method()) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "this address is only read");
    }
    let path = if request.uri().path() == "/" { "/demo/index.html" } else { request.uri().path() };
    let Some((address, content)) = FILES.iter().find(|(address, _)| *address == path) else {
        return text(StatusCode::NOT_FOUND, "there is nothing at this address");
    };
    let mut response = Response::new(full(Bytes::from_static(content)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(address)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn content_type(address: &str) -> &'static str {
    match address.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &str, path: &str) -> StatusCode {
        answer(&Request::builder().method(method).uri(path).body(()).unwrap()).status()
    }

    #[test]
    fn it_serves_what_was_built_in_and_nothing_else() {
        assert_eq!(status("GET", "/"), StatusCode::OK);
        assert_eq!(status("GET", "/protocol/js/client.js"), StatusCode::OK);
        assert_eq!(status("GET", "/../Cargo.toml"), StatusCode::NOT_FOUND);
        assert_eq!(status("POST", "/"), StatusCode::METHOD_NOT_ALLOWED);
    }
}
