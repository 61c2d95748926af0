//! What is around the body of every frame between our processes: version, kind, length.

use bytes::{BufMut, Bytes, BytesMut};

use crate::frame::FrameError;

const HEADER_BYTES: usize = 1 + 2 + 4;

/// The frame of a body.
pub(crate) fn seal(version: u8, kind: u16, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + body.len());
    bytes.put_u8(version);
    bytes.put_u16_le(kind);
    bytes.put_u32_le(body.len() as u32);
    bytes.put_slice(body);
    bytes.freeze()
}

/// The kind and the body of a frame of at most `bytes_max` bytes, written by this version, the one before or
/// the one after.
pub(crate) fn open(bytes: &[u8], version: u8, bytes_max: usize) -> Result<(u16, &[u8]), FrameError> {
    let size = bytes.len();
    if size > bytes_max {
        return Err(FrameError::Long { size, max: bytes_max });
    }
    let Some((&[found, k0, k1, l0, l1, l2, l3], body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(FrameError::Short { size });
    };
    if found.abs_diff(version) > 1 {
        return Err(FrameError::Version(found));
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if body.len() < length {
        return Err(FrameError::Short { size });
    }
    if body.len() > length {
        return Err(FrameError::Long { size, max: HEADER_BYTES + length });
    }
    Ok((u16::from_le_bytes([k0, k1]), body))
}
