//! JSON pointers (RFC 6901) for places in a text. Invariant: only faults pay for them; a clean event never gets here.

use std::borrow::Cow;

/// Longest pointer told; what a tenant nested deeper is cut.
const MAX_POINTER: usize = 256;

enum Step {
    Object(String),
    Array(usize),
}

/// The pointer of the value or key at that place; as far as it can be told when the text is broken.
pub(super) fn pointer_at(bytes: &[u8], place: usize) -> Cow<'static, str> {
    let mut path: Vec<Step> = Vec::new();
    let (mut at, mut key_next) = (0, false);
    while at < bytes.len() && at <= place {
        let byte = bytes[at];
        let mut next = at + 1;
        match byte {
            b'{' if at < place => path.push(Step::Object(String::new())),
            b'[' if at < place => path.push(Step::Array(0)),
            b'}' | b']' => drop(path.pop()),
            b'"' => next = string_end(bytes, at),
            _ => {}
        }
        match path.last_mut() {
            Some(Step::Object(key)) => match byte {
                b'{' | b',' => key_next = true,
                b'"' if key_next => {
                    *key = serde_json::from_slice(&bytes[at..next]).unwrap_or_default();
                    key_next = false;
                }
                _ => {}
            },
            Some(Step::Array(index)) if byte == b',' => *index += 1,
            _ => {}
        }
        at = next;
    }
    render(&path)
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn render(path: &[Step]) -> Cow<'static, str> {
    let mut pointer = String::new();
    for step in path {
        pointer.push('/');
        match step {
            Step::Object(key) => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Step::Array(index) => pointer.push_str(&index.to_string()),
        }
        if pointer.len() > MAX_POINTER {
            pointer.truncate(pointer.floor_char_boundary(MAX_POINTER));
            break;
        }
    }
    Cow::Owned(pointer)
}
