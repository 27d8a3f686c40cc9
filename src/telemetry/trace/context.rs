//! Places in traces, in the form of the W3C recommendation. Invariant: neither a trace nor a span has the number zero.

use std::fmt::Write as _;

/// What came with a request or record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    trace: [u8; 16],
    span: [u8; 8],
    /// Whether its sender traces it.
    pub sampled: bool,
}

/// Where a span of ours stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    trace: [u8; 16],
    span: [u8; 8],
    parent: Option<[u8; 8]>,
}

impl Remote {
    /// Reads a well-formed `traceparent`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.get(..55)?.split('-').collect();
        let [_, trace, span, flags] = fields[..] else { return None };
        let (trace, span) = (bytes::<16>(trace)?, bytes::<8>(span)?);
        let [flags] = bytes::<1>(flags)?;
        (trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

impl Place {
    /// Under a span of somebody else.
    pub fn under(remote: &Remote) -> Self {
        Self { trace: remote.trace, span: number(), parent: Some(remote.span) }
    }

    /// At the beginning of a new trace.
    pub fn root() -> Self {
        Self { trace: number(), span: number(), parent: None }
    }

    /// The `traceparent` for what follows.
    pub fn header(&self) -> String {
        format!("00-{}-{}-01", self.trace_id(), self.span_id())
    }

    /// The trace, in hexadecimal digits.
    pub fn trace_id(&self) -> String {
        hex(&self.trace)
    }

    /// The span.
    pub fn span_id(&self) -> String {
        hex(&self.span)
    }

    /// The span above, if any.
    pub fn parent_id(&self) -> Option<String> {
        self.parent.as_ref().map(|parent| hex(parent))
    }
}

/// A random number that is not zero.
fn number<const N: usize>() -> [u8; N] {
    let mut number = rand::random::<[u8; 16]>();
    number[0] |= 1;
    std::array::from_fn(|at| number[at])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut found = [0; N];
    if text.len() != N * 2 {
        return None;
    }
    for (at, byte) in found.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_place_under_another_keeps_the_trace_and_names_its_parent() {
        let remote = Remote::parse(SOUND).expect("sound");
        let place = Place::under(&remote);
        assert_eq!(place.parent_id().as_deref(), Some("00f067aa0ba902b7"));
        let next = Remote::parse(&place.header()).expect("sound");
        assert_eq!((next.trace, next.span, next.sampled), (remote.trace, place.span, true));
        assert!(!Remote::parse(&SOUND.replace("-01", "-00")).expect("sound").sampled);
        assert_eq!((Remote::parse("00-x"), Place::root().parent_id()), (None, None));
    }
}
