//! Is a delivery what the provider sent? Invariant: nothing is accepted without a good signature by a secret of the source over
//! exactly these bytes, made within the replay window.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::definition::{Encoding, Signing};
use crate::config::Secret;
use crate::domain::time::{SECOND, Timestamp};

/// What the headers of a delivery claim, within the replay window.
#[derive(Debug)]
pub struct Claimed {
    mac: Vec<u8>,
    signed_at: String,
}

impl Signing {
    /// Reads the headers; `None` when one is missing, malformed or out of the window: the body need not be read then.
    pub fn claimed<'h>(&self, header: impl Fn(&str) -> Option<&'h str>, now: Timestamp) -> Option<Claimed> {
        let mac = header(&self.header)?.strip_prefix(&*self.prefix)?;
        let mac = match self.encoding {
            Encoding::Hex => unhex(mac)?,
            Encoding::Base64 => BASE64.decode(mac).ok()?,
        };
        let signed_at = header(&self.timestamp_header)?;
        let time = match signed_at.parse() {
            Ok(seconds) => Timestamp::from_unix_seconds(seconds),
            Err(_) => Timestamp::parse_rfc3339(signed_at),
        };
        let apart = now.micros_since(time.ok()?).unsigned_abs();
        let tolerance = u64::from(self.tolerance_seconds) * SECOND.unsigned_abs();
        (apart <= tolerance).then(|| Claimed { mac, signed_at: signed_at.to_owned() })
    }
}

impl Claimed {
    /// Whether one of the secrets made it over these bytes.
    pub(super) fn holds(&self, signing: &Signing, secrets: &[Secret], body: &[u8]) -> bool {
        secrets.iter().any(|secret| {
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return false };
            mac.update(self.signed_at.as_bytes());
            mac.update(signing.separator.as_bytes());
            mac.update(body);
            mac.verify_slice(&self.mac).is_ok()
        })
    }

    /// When it says it was signed, as it stands in the header.
    pub(super) fn signed_at(&self) -> &str {
        &self.signed_at
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some((digit(*high)? << 4 | digit(*low)?) as u8),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id":1}"#;

    fn signing(encoding: Encoding) -> Signing {
        Signing {
            header: "X-Signature".into(),
            prefix: "sha256=".into(),
            encoding,
            timestamp_header: "X-Time".into(),
            separator: ".".into(),
            tolerance_seconds: 300,
        }
    }

    fn mac(text: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"a secret of the provider").expect("key");
        mac.update(text);
        mac.finalize().into_bytes().to_vec()
    }

    #[test]
    fn a_signature_is_good_for_its_bytes_its_secret_and_its_time() {
        let now = Timestamp::from_unix_seconds(1_700_000_100).expect("time");
        let made = mac(&[b"1700000000.", BODY].concat());
        let hex: String = made.iter().map(|byte| format!("{byte:02X}")).collect();
        let secrets = [Secret::new("an old one"), Secret::new("a secret of the provider")];
        for (encoding, written) in [(Encoding::Hex, hex), (Encoding::Base64, BASE64.encode(&made))] {
            let signing = signing(encoding);
            let written = format!("sha256={written}");
            let with = |written: &str, time: &str, now| {
                let headers = |name: &str| match name {
                    "X-Signature" => Some(written),
                    "X-Time" => Some(time),
                    _ => None,
                };
                signing.claimed(headers, now)
            };
            let claimed = with(&written, "1700000000", now).expect("claimed");
            assert!(claimed.holds(&signing, &secrets, BODY));
            assert!(!claimed.holds(&signing, &secrets, b"{}"));
            assert!(!claimed.holds(&signing, &secrets[..1], BODY));
            let moved = with(&written, "1700000001", now).expect("claimed");
            assert!(!moved.holds(&signing, &secrets, BODY), "the time is signed too");
            let same = with(&written, "2023-11-14T22:13:20Z", now).expect("claimed");
            assert!(!same.holds(&signing, &secrets, BODY), "signed are the bytes of the header");
            for late in [1_700_000_301, 1_699_999_699] {
                assert!(with(&written, "1700000000", Timestamp::from_unix_seconds(late).expect("time")).is_none());
            }
            assert!(with(&written[7..], "1700000000", now).is_none(), "the prefix belongs to it");
            assert!(with("sha256=zz", "1700000000", now).is_none());
            assert!(with(&written, "soon", now).is_none());
        }
    }
}
