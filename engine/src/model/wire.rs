//! How much of a model file is stored weights, told before anything of it is decoded.
//!
//! A decoded message takes up to 150 times the bytes that stand for it, stored weights as many as they are: all but these must be few.

use super::ModelFault;

/// The most bytes besides stored weights; an ECG-DualNet S has 39 kB.
const MOST: usize = 8 << 20;

/// Fails for a file that holds more besides stored weights than describes a network.
pub(super) fn check(file: &[u8]) -> Result<(), ModelFault> {
    match file.len() - stored(Message::Model, file) {
        bytes if bytes > MOST => Err(ModelFault::Description { bytes, limit: MOST }),
        _ => Ok(()),
    }
}

/// The messages of ONNX on the way to stored weights.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
}

/// Bytes of stored weights in a message.
fn stored(message: Message, bytes: &[u8]) -> usize {
    let inside = |(field, content): (u64, &[u8])| match (message, field) {
        (Message::Model, 7) => stored(Message::Graph, content),
        (Message::Graph, 1) => stored(Message::Node, content),
        (Message::Node, 5) => stored(Message::Attribute, content),
        (Message::Graph | Message::Attribute, 5) => stored(Message::Tensor, content),
        (Message::Tensor, 9) => content.len(),
        _ => 0,
    };
    Fields { bytes }.map(inside).sum()
}

/// The numbers and contents of a message's fields that have a length; ends where the bytes stop to be a message.
struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    fn integer(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte;
            (byte, self.bytes) = self.bytes.split_first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// The next bytes; of a file that was cut off, those that are there.
    fn skip(&mut self, length: u64) -> &'a [u8] {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(self.bytes.len());
        let content;
        (content, self.bytes) = self.bytes.split_at(length);
        content
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let tag = self.integer()?;
            match tag & 7 {
                0 => drop(self.integer()?),
                1 => drop(self.skip(8)),
                2 => {
                    let length = self.integer()?;
                    return Some((tag >> 3, self.skip(length)));
                }
                5 => drop(self.skip(4)),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field with this content.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        let mut length = content.len();
        while length >= 0x80 {
            bytes.push(length as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        [&bytes[..], content].concat()
    }

    #[test]
    fn weights_are_found_where_they_are_stored() {
        let weights = vec![0; MOST + 9];
        let tensor = field(5, &[&[0x10, 1][..], &field(8, b"w"), &field(9, &weights)].concat());
        let initializer = field(7, &tensor);
        let constant = field(7, &field(1, &field(5, &tensor)));
        for file in [&initializer, &constant] {
            assert_eq!(stored(Message::Model, file), weights.len());
            assert!(check(file).is_ok());
            // Cut off, it is for the decoder to refuse.
            assert!(check(&file[..file.len() - 1]).is_ok());
        }
        // Bytes elsewhere are no weights: another field of a tensor, another message of a graph.
        let elsewhere = [
            field(7, &field(5, &field(13, &weights))),
            field(7, &field(11, &field(9, &weights))),
            field(9, &weights),
        ];
        for file in elsewhere {
            assert!(matches!(check(&file), Err(ModelFault::Description { bytes, .. }) if bytes == file.len()));
        }
    }

    #[test]
    fn what_is_no_message_ends_the_search() {
        for file in [&[][..], &[0x3a], &[0x3a, 0xff], &[0xff; 32], &[0x3b, 0x00], &[0x39, 1]] {
            assert_eq!(stored(Message::Model, file), 0);
            assert!(check(file).is_ok());
        }
    }
}
