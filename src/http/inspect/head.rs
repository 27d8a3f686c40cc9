//! One whole head against RFC 9112. Invariant: the parser is hyper's own, so what passes here hyper takes; the rules beyond it are
//! those a proxy in front of us might read another way (Host, Content-Length, Transfer-Encoding, line ends).

use std::mem::MaybeUninit;

use httparse::{Error, Request, Status};
use poem::http::Uri;

/// Most headers; hyper's own limit.
pub(in crate::http) const MAX_HEADERS: usize = 100;

/// Most bytes of a head, request line and empty line included.
pub(in crate::http) const MAX_HEAD: usize = 64 * 1024;

/// Most bytes of a request target.
pub(in crate::http) const MAX_URI: usize = 8 * 1024;

/// A request line that is longer holds a target that is.
pub(super) const MAX_REQUEST_LINE: usize = MAX_URI + 64;

/// Longest method; those we know have up to seven letters.
const MAX_METHOD: usize = 32;

/// Digits of the longest `Content-Length` that is looked at: far above every cap and far below an overflow.
const MAX_LENGTH_DIGITS: usize = 18;

/// How the end of the body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes; 0 when there is no body.
    Length(u64),
    /// By the chunks themselves.
    Chunked,
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::http) enum HeadFault {
    /// It did not end in time.
    TooSlow,
    /// More than [`MAX_URI`] bytes of target.
    UriTooLong,
    /// More than [`MAX_HEAD`] bytes.
    TooLarge,
    /// More than [`MAX_HEADERS`] headers.
    TooManyHeaders,
    /// A line does not end in CR LF.
    LineEnd,
    /// Not a head of HTTP/1.
    Syntax,
    /// Not exactly one good `Host`.
    Host,
    /// Not exactly one way to find the end of the body.
    Framing,
}

impl HeadFault {
    /// Every fault.
    pub(in crate::http) const ALL: [Self; 8] = [
        Self::TooSlow,
        Self::UriTooLong,
        Self::TooLarge,
        Self::TooManyHeaders,
        Self::LineEnd,
        Self::Syntax,
        Self::Host,
        Self::Framing,
    ];

    /// Its word in metrics.
    pub(in crate::http) fn name(self) -> &'static str {
        match self {
            Self::TooSlow => "slow",
            Self::UriTooLong => "uri",
            Self::TooLarge => "size",
            Self::TooManyHeaders => "headers",
            Self::LineEnd => "line_end",
            Self::Syntax => "syntax",
            Self::Host => "host",
            Self::Framing => "framing",
        }
    }
}

/// Checks a whole head, empty line included; tells how its body ends.
pub(super) fn check(head: &[u8]) -> Result<Framing, HeadFault> {
    let mut slots = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut slots) {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Err(Error::TooManyHeaders) => return Err(HeadFault::TooManyHeaders),
        Ok(_) | Err(_) => return Err(HeadFault::Syntax),
    }
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    if target.len() > MAX_URI {
        return Err(HeadFault::UriTooLong);
    }
    if method.len() > MAX_METHOD || !is_target(target) {
        return Err(HeadFault::Syntax);
    }
    let found = Found::among(request.headers)?;
    found.framing(request.version == Some(1))
}

/// Whether hyper will take the target; the usual ones need no look at the grammar.
fn is_target(target: &str) -> bool {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~?=&%:+,".contains(&byte);
    (target.starts_with('/') && target.bytes().all(usual)) || target.parse::<Uri>().is_ok()
}

/// The headers that decide where a message ends and whom it is for.
#[derive(Default)]
struct Found<'a> {
    host: Option<&'a [u8]>,
    length: Option<&'a [u8]>,
    encoding: Option<&'a [u8]>,
}

impl<'a> Found<'a> {
    fn among(headers: &[httparse::Header<'a>]) -> Result<Self, HeadFault> {
        let mut found = Self::default();
        for header in headers {
            // The length tells most other headers apart from these three.
            let (place, fault) = match header.name.len() {
                4 if header.name.eq_ignore_ascii_case("host") => (&mut found.host, HeadFault::Host),
                14 if header.name.eq_ignore_ascii_case("content-length") => (&mut found.length, HeadFault::Framing),
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    (&mut found.encoding, HeadFault::Framing)
                }
                _ => continue,
            };
            if place.replace(header.value).is_some() {
                return Err(fault);
            }
        }
        Ok(found)
    }

    fn framing(&self, http11: bool) -> Result<Framing, HeadFault> {
        match self.host {
            Some(host) if !host.iter().all(|byte| is_host(*byte)) => return Err(HeadFault::Host),
            None if http11 => return Err(HeadFault::Host),
            _ => {}
        }
        match (self.length, self.encoding) {
            (None, None) => Ok(Framing::Length(0)),
            (Some(length), None) => length_of(length).map(Framing::Length).ok_or(HeadFault::Framing),
            (None, Some(encoding)) if http11 && encoding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            (_, Some(_)) => Err(HeadFault::Framing),
        }
    }
}

fn length_of(value: &[u8]) -> Option<u64> {
    let digits = (1..=MAX_LENGTH_DIGITS).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    digits.then(|| value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

/// A name, an address or a port; never the parts of a URI around them.
fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+;=".contains(&byte)
}
