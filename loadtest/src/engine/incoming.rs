//! What a server sends, cut into messages (RFC 6455, 5): whatever pieces the bytes come in, the messages are
//! the same. Bytes are kept only while a frame, or a message of several frames, is incomplete.

use std::ops::ControlFlow;

use squall_protocol::limits::FRAME_OUT_BYTES_MAX;

/// What a connection has of a message whose rest is to come: eight bytes when nothing.
#[derive(Debug, Default)]
pub(crate) struct Incoming(Option<Box<Unfinished>>);

#[derive(Debug, Default)]
struct Unfinished {
    /// The beginning of a frame.
    frame: Vec<u8>,
    /// The earlier frames of a message, joined; `None` between messages.
    message: Option<(Opcode, Vec<u8>)>,
}

/// One message, whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    Text(&'a [u8]),
    Binary(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
    /// 1005 if the server named no code.
    Close {
        code: u16,
        reason: &'a [u8],
    },
}

/// Bytes that no server may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("a masked frame")]
    Masked,
    #[error("reserved bits are set, and no extension was asked for")]
    ReservedBits,
    #[error("a frame of no known kind")]
    Opcode,
    #[error("a control frame in pieces, or over 125 bytes")]
    Control,
    #[error("a continuation of nothing")]
    NoBeginning,
    #[error("a new message within another")]
    NotContinued,
    #[error("a close frame of one byte")]
    Close,
    #[error("a message of more than {FRAME_OUT_BYTES_MAX} bytes")]
    TooLong,
}

/// What is read of a header.
struct Header {
    is_final: bool,
    opcode: Opcode,
    header_bytes: usize,
    payload_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Incoming {
    /// Takes the next bytes and gives out each message that is whole now, until `take` has enough.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let Some(mut unfinished) = self.0.take() else {
            let mut fresh = Unfinished::default();
            let rest = fresh.take_frames(bytes, &mut take)?;
            if !rest.is_empty() || fresh.message.is_some() {
                fresh.frame.extend_from_slice(rest);
                self.0 = Some(Box::new(fresh));
            }
            return Ok(());
        };
        let mut joined = std::mem::take(&mut unfinished.frame);
        joined.extend_from_slice(bytes);
        let rest = unfinished.take_frames(&joined, &mut take)?;
        if rest.len() == joined.len() {
            unfinished.frame = joined;
        } else {
            unfinished.frame.extend_from_slice(rest);
        }
        if !unfinished.frame.is_empty() || unfinished.message.is_some() {
            self.0 = Some(unfinished);
        }
        Ok(())
    }

    /// Takes out what was kept of bytes that are no frames yet.
    pub(crate) fn take_bytes(&mut self) -> Vec<u8> {
        self.0.take().map_or_else(Vec::new, |unfinished| unfinished.frame)
    }

    /// Keeps bytes that are no frames yet.
    pub(crate) fn keep_bytes(&mut self, frame: Vec<u8>) {
        self.0 = Some(Box::new(Unfinished { frame, message: None }));
    }

    /// Whether nothing is incomplete.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Unfinished {
    /// Gives out the messages that end in `bytes`; what is left is the beginning of a frame.
    fn take_frames<'a>(
        &mut self,
        mut bytes: &'a [u8],
        take: &mut impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<&'a [u8], Fault> {
        while let Some(header) = Header::parse(bytes)? {
            let joined_bytes = self.message.as_ref().map_or(0, |(_, joined)| joined.len());
            if header.payload_bytes > FRAME_OUT_BYTES_MAX - joined_bytes.min(FRAME_OUT_BYTES_MAX) {
                return Err(Fault::TooLong);
            }
            let whole = header.header_bytes + header.payload_bytes;
            let Some(payload) = bytes.get(header.header_bytes..whole) else { break };
            bytes = &bytes[whole..];
            if self.take_frame(&header, payload, take)?.is_break() {
                return Ok(&[]);
            }
        }
        Ok(bytes)
    }

    fn take_frame(
        &mut self,
        header: &Header,
        payload: &[u8],
        take: &mut impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Fault> {
        Ok(take(match (header.opcode, self.message.take()) {
            (Opcode::Ping, message) => self.beside(message, Message::Ping(payload)),
            (Opcode::Pong, message) => self.beside(message, Message::Pong),
            (Opcode::Close, _) => close(payload)?,
            (Opcode::Continuation, None) => return Err(Fault::NoBeginning),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Fault::NotContinued),
            (opcode @ (Opcode::Text | Opcode::Binary), None) if header.is_final => whole(opcode, payload),
            (opcode @ (Opcode::Text | Opcode::Binary), None) => {
                self.message = Some((opcode, payload.to_vec()));
                return Ok(ControlFlow::Continue(()));
            }
            (Opcode::Continuation, Some((opcode, mut joined))) => {
                joined.extend_from_slice(payload);
                if header.is_final {
                    return Ok(take(whole(opcode, &joined)));
                }
                self.message = Some((opcode, joined));
                return Ok(ControlFlow::Continue(()));
            }
        }))
    }

    /// A control frame may stand between the frames of a message.
    fn beside<'a>(&mut self, message: Option<(Opcode, Vec<u8>)>, control: Message<'a>) -> Message<'a> {
        self.message = message;
        control
    }
}

impl Header {
    /// `None` while it is incomplete.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        if first & RESERVED != 0 {
            return Err(Fault::ReservedBits);
        }
        if second & MASKED != 0 {
            return Err(Fault::Masked);
        }
        let opcode = match first & 0xF {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            _ => return Err(Fault::Opcode),
        };
        let is_final = first & FINAL != 0;
        let length = second & !MASKED;
        if matches!(opcode, Opcode::Close | Opcode::Ping | Opcode::Pong) && (!is_final || length > 125) {
            return Err(Fault::Control);
        }
        let (header_bytes, payload_bytes) = match (length, rest) {
            (126, &[a, b, ..]) => (4, u64::from(u16::from_be_bytes([a, b]))),
            (127, &[a, b, c, d, e, f, g, h, ..]) => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
            (126 | 127, _) => return Ok(None),
            (length, _) => (2, u64::from(length)),
        };
        let payload_bytes = usize::try_from(payload_bytes).map_err(|_| Fault::TooLong)?;
        if payload_bytes > FRAME_OUT_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        Ok(Some(Self { is_final, opcode, header_bytes, payload_bytes }))
    }
}

fn whole(opcode: Opcode, payload: &[u8]) -> Message<'_> {
    if opcode == Opcode::Text { Message::Text(payload) } else { Message::Binary(payload) }
}

fn close(payload: &[u8]) -> Result<Message<'_>, Fault> {
    match *payload {
        [] => Ok(Message::Close { code: NO_STATUS, reason: &[] }),
        [_] => Err(Fault::Close),
        [a, b, ref reason @ ..] => Ok(Message::Close { code: u16::from_be_bytes([a, b]), reason }),
    }
}

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
/// RFC 6455, 7.4.1: a close frame without a code.
pub(crate) const NO_STATUS: u16 = 1005;

#[cfg(test)]
mod tests;
