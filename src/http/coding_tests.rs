//! Every coding, whole, cut short, lengthened and swollen.

use std::time::Duration;

use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use tokio::time::Instant;

use super::super::body::tests::wire;
use super::super::body::{Inflow, Pieces};
use super::*;

const ALL: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

fn bounds() -> Bounds {
    let deadline = Instant::now() + Duration::from_secs(60);
    Bounds { max_bytes: 2 << 20, max_inflated: 8 << 20, max_ratio: 100, stall: Duration::from_secs(60), deadline }
}

async fn packed(coding: Coding, plain: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let size = match coding {
        Coding::Gzip => GzipEncoder::new(plain).read_to_end(&mut packed).await,
        Coding::Deflate => ZlibEncoder::new(plain).read_to_end(&mut packed).await,
        Coding::Brotli => BrotliEncoder::new(plain).read_to_end(&mut packed).await,
        Coding::Zstd => ZstdEncoder::new(plain).read_to_end(&mut packed).await,
    };
    size.expect("packed");
    packed
}

async fn unpacked(coding: Coding, packed: &[u8], bounds: Bounds) -> Result<Bytes, Problem> {
    let pieces: Vec<_> = packed.chunks(1_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let inflating = Inflating::new(coding, wire(stream::iter(pieces), bounds), bounds);
    Inflow::of(Pieces::Coded(Box::new(inflating))).whole(|_| Ok(())).await
}

/// Text that packs about ten to one.
fn text(bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + 32);
    while text.len() < bytes {
        text.extend_from_slice(format!("{:x} the same again ", rand::random::<u8>()).as_bytes());
    }
    text.truncate(bytes);
    text
}

#[tokio::test]
async fn every_coding_gives_back_what_went_in() {
    for coding in ALL {
        for size in [0, 1, 300_000] {
            let plain = text(size);
            let packed = packed(coding, &plain).await;
            assert!(unpacked(coding, &packed, bounds()).await.expect("unpacked") == plain, "{coding:?} {size}");
        }
    }
}

#[tokio::test]
async fn what_ends_early_goes_on_or_is_something_else_is_refused() {
    let plain = text(20_000);
    for coding in ALL {
        let whole = packed(coding, &plain).await;
        for end in [0, 1, whole.len() / 2, whole.len() - 1] {
            let problem = unpacked(coding, &whole[..end], bounds()).await.expect_err("cut short");
            assert_eq!(problem.code, Code::InvalidRequest, "{coding:?} {end}");
        }
        for rest in [&b"x"[..], b"garbage", b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
            let longer = [&whole[..], rest].concat();
            let problem = unpacked(coding, &longer, bounds()).await.expect_err("goes on");
            assert_eq!(problem.code, Code::InvalidRequest, "{coding:?} {rest:?}");
        }
        let problem = unpacked(coding, &plain, bounds()).await.expect_err("not packed");
        assert_eq!(problem.code, Code::InvalidRequest, "{coding:?}");
    }
}

#[tokio::test]
async fn members_and_frames_may_follow_each_other() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let twice = [packed(coding, b"one").await, packed(coding, b"two").await].concat();
        assert_eq!(unpacked(coding, &twice, bounds()).await.expect("unpacked"), "onetwo", "{coding:?}");
    }
}

#[tokio::test]
async fn bombs_are_stopped_by_ratio_and_by_size() {
    let zeros = vec![0; 16 << 20];
    for coding in ALL {
        let bomb = packed(coding, &zeros).await;
        let problem = unpacked(coding, &bomb, bounds()).await.expect_err("a bomb");
        assert_eq!(problem.code, Code::BodyTooLarge, "{coding:?}");
        let patient = Bounds { max_ratio: usize::MAX, ..bounds() };
        let problem = unpacked(coding, &bomb, patient).await.expect_err("too large");
        assert_eq!(problem.code, Code::BodyTooLarge, "{coding:?}");
        let small = packed(coding, &zeros[..1 << 20]).await;
        assert!(unpacked(coding, &small, bounds()).await.is_ok(), "{coding:?}: below a mebibyte the ratio is free");
        let narrow = Bounds { max_bytes: 10, ..bounds() };
        let problem = unpacked(coding, &packed(coding, &text(5_000)).await, narrow).await.expect_err("too wide");
        assert_eq!(problem.code, Code::BodyTooLarge, "{coding:?}: the cap of the wire is told through the decoder");
    }
}

#[test]
fn one_known_coding_is_taken() {
    let of = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, value.parse().expect("value"));
        }
        Coding::of(&headers).map_err(|problem| problem.code)
    };
    assert_eq!(of(&[]), Ok(None));
    assert_eq!(of(&["identity"]), Ok(None));
    for (name, coding) in [("GZIP", ALL[0]), ("x-gzip", ALL[0]), ("deflate", ALL[1]), ("br", ALL[2]), ("zstd", ALL[3])]
    {
        assert_eq!(of(&[name]), Ok(Some(coding)));
    }
    for bad in [&["gzip, gzip"][..], &["gzip", "br"], &["gzip,identity,zstd"], &["compress"], &["gzip;q=1"], &[""]] {
        assert_eq!(of(bad), Err(Code::UnsupportedMediaType), "{bad:?}");
    }
}
