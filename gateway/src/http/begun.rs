//! A socket of which something was read already.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Gives what was read, then the rest.
pub(crate) struct Begun {
    begun: Bytes,
    socket: TokioIo<TcpStream>,
}

impl Begun {
    pub(crate) fn new(begun: Bytes, socket: TcpStream) -> Self {
        Self { begun, socket: TokioIo::new(socket) }
    }

    /// What was not read again yet, and the bare socket.
    pub(crate) fn into_parts(self) -> (Bytes, TcpStream) {
        (self.begun, self.socket.into_inner())
    }

    fn socket(self: Pin<&mut Self>) -> Pin<&mut TokioIo<TcpStream>> {
        Pin::new(&mut self.get_mut().socket)
    }
}

impl Read for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.begun.is_empty() {
            return self.socket().poll_read(context, buffer);
        }
        let taken = self.begun.len().min(buffer.remaining());
        buffer.put_slice(&self.begun.split_to(taken));
        Poll::Ready(Ok(()))
    }
}

impl Write for Begun {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.socket().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_shutdown(context)
    }
}
