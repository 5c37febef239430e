//! The request body: read once, up to a limit, decompressed, into `Bytes` that every attempt shares.

use std::io::Read;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use pingora_proxy::Session;

use crate::config::Limits;
use crate::error::Error;

/// Bodies this small are decompressed on the spot; larger ones on a blocking thread.
const INLINE_DECOMPRESSION: usize = 64 * 1024;

/// How a body may be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// Reads the whole body. 413 over the limit (before and after decompression), 408 when it stalls, 400 when the
/// coding is unknown or broken.
pub async fn read(session: &mut Session, limits: &Limits) -> Result<Bytes, Error> {
    let coding = coding(session)?;
    if wants_continue(session) {
        session
            .write_continue_response()
            .await
            .map_err(|_| Error::invalid("body", "The connection closed before the body was sent."))?;
    }
    let raw = collect(session, limits.body, limits.body_idle).await?;
    match coding {
        Coding::Identity => Ok(raw),
        Coding::Gzip | Coding::Zstd if raw.len() <= INLINE_DECOMPRESSION => {
            decompress(coding, &raw, limits.body)
        }
        Coding::Gzip | Coding::Zstd => {
            let limit = limits.body;
            tokio::task::spawn_blocking(move || decompress(coding, &raw, limit))
                .await
                .map_err(|_| Error::Internal { message: "Decompression ended unexpectedly.".into() })?
        }
    }
}

async fn collect(session: &mut Session, limit: u64, idle: Duration) -> Result<Bytes, Error> {
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut total = 0_u64;
    loop {
        let piece = tokio::time::timeout(idle, session.read_request_body())
            .await
            .map_err(|_| Error::SlowBody)?
            .map_err(|_| Error::invalid("body", "The request body ended before its announced end."))?;
        let Some(piece) = piece else { break };
        total += piece.len() as u64;
        if total > limit {
            return Err(Error::TooLarge { limit });
        }
        match first.take() {
            None if rest.is_empty() => first = Some(piece),
            None => rest.extend_from_slice(&piece),
            Some(start) => {
                let declared = declared_length(session).unwrap_or(0).min(limit);
                rest.reserve(usize::try_from(declared).unwrap_or(0).max(start.len() + piece.len()));
                rest.extend_from_slice(&start);
                rest.extend_from_slice(&piece);
            }
        }
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}

/// `Content-Length`, bytes.
pub fn declared_length(session: &Session) -> Option<u64> {
    session.req_header().headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn wants_continue(session: &Session) -> bool {
    session.req_header().version == http::Version::HTTP_11
        && session
            .req_header()
            .headers
            .get(header::EXPECT)
            .is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn coding(session: &Session) -> Result<Coding, Error> {
    let Some(value) = session.req_header().headers.get(header::CONTENT_ENCODING) else {
        return Ok(Coding::Identity);
    };
    match value.to_str().unwrap_or("").trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Coding::Identity),
        "gzip" | "x-gzip" => Ok(Coding::Gzip),
        "zstd" => Ok(Coding::Zstd),
        _ => Err(Error::Invalid {
            code: "unsupported_content_encoding",
            param: Some("content-encoding".into()),
            message: "Content-Encoding must be identity, gzip or zstd.".into(),
        }),
    }
}

fn decompress(coding: Coding, raw: &[u8], limit: u64) -> Result<Bytes, Error> {
    let broken = |_| Error::invalid("body", "The compressed request body is damaged or incomplete.");
    let mut plain = Vec::new();
    // One byte more than allowed tells "too large" from "just fits".
    let read = match coding {
        Coding::Identity => return Ok(Bytes::copy_from_slice(raw)),
        Coding::Gzip => flate2::read::MultiGzDecoder::new(raw).take(limit + 1).read_to_end(&mut plain),
        Coding::Zstd => {
            zstd::stream::read::Decoder::new(raw).map_err(broken)?.take(limit + 1).read_to_end(&mut plain)
        }
    };
    read.map_err(broken)?;
    if plain.len() as u64 > limit {
        return Err(Error::TooLarge { limit });
    }
    Ok(Bytes::from(plain))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_and_zstd_bodies_are_decompressed() {
        let plain = b"{\"model\":\"gpt-5.4\"}".repeat(100);
        assert_eq!(decompress(Coding::Gzip, &gzip(&plain), 10_000).unwrap(), plain);
        let packed = zstd::stream::encode_all(plain.as_slice(), 1).unwrap();
        assert_eq!(decompress(Coding::Zstd, &packed, 10_000).unwrap(), plain);
    }

    #[test]
    fn a_small_body_that_unpacks_over_the_limit_is_413() {
        let bomb = gzip(&vec![0_u8; 1_000_000]);
        assert_eq!(decompress(Coding::Gzip, &bomb, 999_999), Err(Error::TooLarge { limit: 999_999 }));
        assert_eq!(decompress(Coding::Gzip, &bomb, 1_000_000).unwrap().len(), 1_000_000);
    }

    #[test]
    fn a_damaged_body_is_400() {
        let packed = gzip(b"hello hello hello");
        let cut = packed.get(..packed.len() - 6).unwrap();
        assert_eq!(decompress(Coding::Gzip, cut, 100).unwrap_err().status(), 400);
        assert_eq!(decompress(Coding::Zstd, b"not zstd at all", 100).unwrap_err().status(), 400);
    }
}
