//! Bodies made smaller, as clients make them. Invariant: the same bytes come out for the same bytes.

use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use tokio::io::AsyncReadExt;

/// Every content coding the door undoes, and none.
pub const CODINGS: [&str; 5] = ["identity", "gzip", "deflate", "br", "zstd"];

/// The bytes in that coding.
pub async fn pack(coding: &str, plain: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    match coding {
        "gzip" => GzipEncoder::new(plain).read_to_end(&mut packed).await,
        "deflate" => ZlibEncoder::new(plain).read_to_end(&mut packed).await,
        "br" => BrotliEncoder::new(plain).read_to_end(&mut packed).await,
        "zstd" => ZstdEncoder::new(plain).read_to_end(&mut packed).await,
        _ => return plain.to_vec(),
    }
    .expect("packed");
    packed
}
