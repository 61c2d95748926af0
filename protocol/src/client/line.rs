//! One socket at a time, from its opening to its end.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use crate::close::CloseCode;
use crate::codec::Codec;

use super::error::Cause;
use super::transport::{self, Socket};

/// The driver's end of a connection. Reading and writing never wait for each other: two ends that both
/// write first would wait for ever.
pub(crate) enum Line {
    Down,
    Opening(Pin<Box<dyn Future<Output = Result<Socket, Cause>> + Send>>),
    Up(Box<Wire>),
}

/// An open socket and what is still to be written to it.
pub(crate) struct Wire {
    socket: Socket,
    unwritten: VecDeque<Message>,
    is_flushed: bool,
}

/// What happened on a line.
#[derive(Debug)]
pub(crate) enum LineEvent {
    Opened,
    Data(Message),
    Ended(Cause),
}

impl Line {
    /// Waits for the next thing to happen, writing meanwhile what there is to write. Nothing is lost if the
    /// future is dropped.
    pub(crate) async fn next(&mut self) -> LineEvent {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Puts a message behind those before it; false if the other end has not read for so long that the
    /// line must be given up.
    #[must_use]
    pub(crate) fn write(&mut self, message: Bytes, codec: Codec) -> bool {
        // Messages for a socket that is gone are gone with it.
        let Self::Up(wire) = self else { return true };
        wire.unwritten.push_back(if codec.is_text() {
            Message::text(String::from_utf8_lossy(&message).into_owned())
        } else {
            Message::binary(message)
        });
        wire.unwritten.len() <= UNWRITTEN_MAX
    }

    /// Ends the line in good order, in a task of its own that is done soon.
    pub(crate) fn close(&mut self, code: CloseCode) -> Option<JoinHandle<()>> {
        match std::mem::replace(self, Self::Down) {
            Self::Down | Self::Opening(_) => None,
            Self::Up(wire) => Some(tokio::spawn(async move {
                // The other end may be gone, or silent: then this is all that good order can be.
                let _ = tokio::time::timeout(CLOSING_MAX, wire.close(code)).await;
            })),
        }
    }

    /// The socket has ended; a close frame of the other end is answered in a task of its own.
    fn end(&mut self, cause: &Cause) {
        if let (Self::Up(wire), Cause::Closed { .. }) = (std::mem::replace(self, Self::Down), cause) {
            tokio::spawn(tokio::time::timeout(CLOSING_MAX, wire.read_out()));
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<LineEvent> {
        let event = match self {
            Self::Down => return Poll::Pending,
            Self::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                Ok(socket) => {
                    *self = Self::Up(Box::new(Wire::new(socket)));
                    return Poll::Ready(LineEvent::Opened);
                }
                Err(cause) => LineEvent::Ended(cause),
            },
            Self::Up(wire) => {
                let written = wire.poll_write(cx);
                // What came before a failed write still counts: it may say why.
                match (wire.poll_read(cx), written) {
                    (Poll::Ready(event), _) => event,
                    (Poll::Pending, Poll::Ready(Err(error))) => LineEvent::Ended(transport::cause(&error)),
                    (Poll::Pending, Poll::Ready(Ok(())) | Poll::Pending) => return Poll::Pending,
                }
            }
        };
        if let LineEvent::Ended(cause) = &event {
            self.end(cause);
        }
        Poll::Ready(event)
    }
}

impl Wire {
    fn new(socket: Socket) -> Self {
        Self { socket, unwritten: VecDeque::new(), is_flushed: true }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<tungstenite::Result<()>> {
        let mut socket = Pin::new(&mut self.socket);
        while !self.unwritten.is_empty() {
            ready!(socket.as_mut().poll_ready(cx))?;
            if let Some(message) = self.unwritten.pop_front() {
                self.is_flushed = false;
                socket.as_mut().start_send(message)?;
            }
        }
        if !self.is_flushed {
            ready!(socket.poll_flush(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<LineEvent> {
        loop {
            let event = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                // Answered by the WebSocket layer; as signs of life they count as nothing.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_) | Message::Frame(_)))) => {
                    LineEvent::Data(message)
                }
                Some(Ok(Message::Close(frame))) => LineEvent::Ended(closed(frame)),
                Some(Err(error)) => LineEvent::Ended(transport::cause(&error)),
                None => LineEvent::Ended(Cause::Broken("the connection ended without a close frame".into())),
            };
            return Poll::Ready(event);
        }
    }

    /// Writes what is left and the close frame, and reads until the other end has answered it.
    async fn close(mut self, code: CloseCode) {
        let (code, reason) = (code.number().into(), Utf8Bytes::from_static(code.reason()));
        self.unwritten.push_back(Message::Close(Some(CloseFrame { code, reason })));
        for message in std::mem::take(&mut self.unwritten) {
            if self.socket.feed(message).await.is_err() {
                return;
            }
        }
        if self.socket.flush().await.is_ok() {
            self.read_out().await;
        }
    }

    /// Reads to the end, which writes the answer to a close frame.
    async fn read_out(mut self) {
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}

fn closed(frame: Option<CloseFrame>) -> Cause {
    match frame {
        Some(CloseFrame { code, reason }) => Cause::Closed { code: code.into(), reason: reason.to_string() },
        None => Cause::Closed { code: NO_STATUS, reason: String::new() },
    }
}

/// More than a server lets wait for answers, and all that is said beside sends.
const UNWRITTEN_MAX: usize = 4 * crate::limits::SENDS_IN_FLIGHT_MAX;
/// How long the other end may take to answer a close frame.
const CLOSING_MAX: Duration = Duration::from_secs(2);
/// RFC 6455, 7.4.1: a close frame without a code.
const NO_STATUS: u16 = 1005;
