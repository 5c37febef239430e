//! HTTP/1.1 by hand, for requests that no well-behaved client sends.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::within;

/// An answer as it came: head parsed, body to the end of the connection (de-chunked by nobody).
#[derive(Debug)]
pub struct RawAnswer {
    /// 0 when the peer closed without an answer.
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl RawAnswer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body's JSON, wherever it stands in the (perhaps chunked) body.
    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        let start = text.find('{').unwrap_or(0);
        let end = text.rfind('}').map_or(0, |end| end + 1);
        serde_json::from_str(text.get(start..end).unwrap_or_default()).unwrap_or(Value::Null)
    }
}

/// Sends `request` as it is and reads until the peer closes; the request should say `Connection: close`.
pub async fn raw(address: &str, request: &[u8]) -> RawAnswer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may answer and close before it has read all; what it said still counts.
    let sent = stream.write_all(request).await;
    let mut bytes = Vec::new();
    let read = within("an answer", Duration::from_secs(20), stream.read_to_end(&mut bytes)).await;
    assert!(!bytes.is_empty() || sent.is_ok() || read.is_ok(), "{sent:?} {read:?}");
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    RawAnswer { status, head, body: bytes[end..].to_vec() }
}
