//! Parts of buffers that are there, unless portolan has a bug.
//!
//! Code must not index, since a panic would end the run; and an empty slice in the place of a part that is missing
//! would read as the end of a file, and a transfer as complete. These functions fail.

use crate::error::{Error, ErrorKind, Origin, Result};

/// Returns the first `count` bytes, those that were filled.
pub fn filled(buffer: &[u8], count: usize) -> Result<&[u8]> {
    buffer.get(..count).ok_or_else(|| outside(count, buffer.len()))
}

/// Returns the first `count` bytes, which are to be filled.
pub fn room(buffer: &mut [u8], count: usize) -> Result<&mut [u8]> {
    let length = buffer.len();
    buffer.get_mut(..count).ok_or_else(|| outside(count, length))
}

/// Returns the bytes from `start` on.
pub fn rest(buffer: &[u8], start: usize) -> Result<&[u8]> {
    buffer.get(start..).ok_or_else(|| outside(start, buffer.len()))
}

fn outside(bytes: usize, length: usize) -> Error {
    let message = format!("a bug in portolan: {bytes} bytes of a buffer of {length}");
    Error::new(ErrorKind::Local, Origin::Here, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_not_there_is_an_error_and_not_empty() {
        let mut buffer = [1, 2, 3];
        assert_eq!(filled(&buffer, 2).unwrap(), [1, 2]);
        assert_eq!(rest(&buffer, 2).unwrap(), [3]);
        assert_eq!(rest(&buffer, 3).unwrap(), [0; 0]);
        assert_eq!(room(&mut buffer, 3).unwrap(), [1, 2, 3]);
        let wrong = [
            filled(&[1, 2, 3], 4).map(|_| ()),
            rest(&[1, 2, 3], 4).map(|_| ()),
            room(&mut [], 1).map(|_| ()),
        ];
        for error in wrong.map(Result::unwrap_err) {
            assert!(!error.is_retryable() && error.message.contains("a bug"), "{error}");
        }
    }
}
