//! Chunked framing (RFC 9112 §7.1), walked and not decoded: only where the body ends matters here. Invariant: stricter than hyper
//! in every place, so both find the same end or the request is broken off.

/// Digits of the longest chunk size.
const MAX_DIGITS: u8 = 8;

/// Most bytes of all chunk extensions and trailers of one body: nothing here reads them.
const MAX_EXTRA: u16 = 8 * 1024;

/// Where in a chunked body a connection stands.
#[derive(Default)]
pub(super) struct Chunks {
    place: Place,
    size: u64,
    digits: u8,
    extra: u16,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataEnd,
    TrailerStart,
    Trailer,
    TrailerEnd,
    BodyEnd,
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The body goes on.
    Inside,
    /// The body has ended.
    Done,
    /// What follows is not a chunk.
    Malformed,
}

impl Chunks {
    /// Walks on; returns how many bytes belong to the body.
    pub(super) fn walk(&mut self, bytes: &[u8]) -> (usize, State) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.place == Place::Data {
                let taken = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.size -= taken as u64;
                at += taken;
                if self.size == 0 {
                    self.place = Place::DataCr;
                }
                continue;
            }
            let done = self.place == Place::BodyEnd && byte == b'\n';
            match self.step(byte) {
                Some(next) => self.place = next,
                None => return (at, State::Malformed),
            }
            at += 1;
            if done {
                return (at, State::Done);
            }
        }
        (at, State::Inside)
    }

    fn step(&mut self, byte: u8) -> Option<Place> {
        match (self.place, byte) {
            (Place::Size, b';') if self.digits > 0 => Some(Place::Extension),
            (Place::Size, b'\r') if self.digits > 0 => Some(Place::SizeEnd),
            (Place::Size, _) => self.digit(byte),
            (Place::Extension, b'\r') => Some(Place::SizeEnd),
            (Place::SizeEnd, b'\n') => {
                self.digits = 0;
                Some(if self.size == 0 { Place::TrailerStart } else { Place::Data })
            }
            (Place::DataCr, b'\r') => Some(Place::DataEnd),
            (Place::DataEnd, b'\n') => Some(Place::Size),
            (Place::TrailerStart, b'\r') => Some(Place::BodyEnd),
            (Place::Trailer, b'\r') => Some(Place::TrailerEnd),
            (Place::TrailerEnd, b'\n') => Some(Place::TrailerStart),
            (Place::BodyEnd, b'\n') => Some(Place::Size),
            (Place::Extension, _) => self.extra(byte, Place::Extension),
            (Place::TrailerStart | Place::Trailer, _) => self.extra(byte, Place::Trailer),
            _ => None,
        }
    }

    fn digit(&mut self, byte: u8) -> Option<Place> {
        let digit = char::from(byte).to_digit(16)?;
        self.digits += 1;
        self.size = self.size << 4 | u64::from(digit);
        (self.digits <= MAX_DIGITS).then_some(Place::Size)
    }

    fn extra(&mut self, byte: u8, place: Place) -> Option<Place> {
        self.extra += 1;
        let text = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        (text && self.extra < MAX_EXTRA).then_some(place)
    }
}
