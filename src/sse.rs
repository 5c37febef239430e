//! Server-sent events: bytes in any chunking to whole events, and the few frames we write ourselves.

use bytes::{Bytes, BytesMut};
use codex_lb_filters::Event;
use memchr::memchr2;

/// Largest event, bytes.
pub const MAX_EVENT: usize = 16 * 1024 * 1024;

/// Sent while the upstream is silent; SSE clients ignore it.
pub const KEEPALIVE: &[u8] = b": keepalive\n\n";

/// The end marker of a chat stream.
pub const DONE: &[u8] = b"data: [DONE]\n\n";

/// An event grew over `MAX_EVENT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

/// Cuts a stream into events. Lines end with LF, CR or CRLF; an event ends with an empty line. Line ends before the
/// first line of an event belong to that event. Where the borders lie does not depend on the chunking.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The beginning of an event whose end has not come yet.
    pending: BytesMut,
    at: At,
}

/// Where the last byte left us.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the first line of an event.
    #[default]
    Start,
    InLine,
    /// A line ended with CR; an LF may follow and belong to it.
    AfterCr,
    /// At the beginning of a line.
    AfterLf,
    /// An empty line ended with CR; an LF may follow and belong to it.
    AfterEmptyCr,
}

impl Splitter {
    pub fn new() -> Self {
        Self::default()
    }

    /// The events that end within `chunk`: slices of it, but for the first one when it began in an earlier chunk.
    pub fn push(&mut self, mut chunk: Bytes) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        while let Some(end) = self.scan(&chunk) {
            let tail = chunk.split_to(end);
            if self.pending.len() + tail.len() > MAX_EVENT {
                return Err(TooLarge);
            }
            events.push(Event::new(self.complete(tail)));
        }
        if self.pending.len() + chunk.len() > MAX_EVENT {
            return Err(TooLarge);
        }
        self.pending.extend_from_slice(&chunk);
        Ok(events)
    }

    /// A last event without its empty line, which is added.
    pub fn finish(&mut self) -> Option<Event> {
        let missing: &[u8] = match std::mem::take(&mut self.at) {
            At::Start => return None,
            At::InLine => b"\n\n",
            At::AfterCr | At::AfterLf => b"\n",
            At::AfterEmptyCr => b"",
        };
        self.pending.extend_from_slice(missing);
        Some(Event::new(self.pending.split().freeze()))
    }

    fn complete(&mut self, tail: Bytes) -> Bytes {
        if self.pending.is_empty() {
            return tail;
        }
        self.pending.extend_from_slice(&tail);
        self.pending.split().freeze()
    }

    /// Goes through `chunk` up to the end of an event and returns that end.
    fn scan(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut position = 0;
        while let Some(&byte) = chunk.get(position) {
            self.at = match (self.at, byte) {
                (At::Start, b'\n' | b'\r') => At::Start,
                (At::InLine, b'\n') | (At::AfterCr, b'\n') => At::AfterLf,
                (At::InLine, b'\r') => At::AfterCr,
                (At::AfterLf, b'\r') => At::AfterEmptyCr,
                (At::AfterLf | At::AfterEmptyCr, b'\n') | (At::AfterCr, b'\r') => {
                    self.at = At::Start;
                    return Some(position + 1);
                }
                (At::AfterEmptyCr, _) => {
                    self.at = At::Start;
                    return Some(position);
                }
                (At::Start | At::InLine | At::AfterCr | At::AfterLf, _) => {
                    self.at = At::InLine;
                    let rest = chunk.get(position..)?;
                    position += memchr2(b'\n', b'\r', rest)?;
                    continue;
                }
            };
            position += 1;
        }
        None
    }
}

/// One event of our own. `json` must hold no line end.
pub fn frame(event_name: Option<&str>, json: &str) -> Bytes {
    let mut block = BytesMut::with_capacity(json.len() + 64);
    if let Some(name) = event_name {
        block.extend_from_slice(b"event: ");
        block.extend_from_slice(name.as_bytes());
        block.extend_from_slice(b"\n");
    }
    block.extend_from_slice(b"data: ");
    block.extend_from_slice(json.as_bytes());
    block.extend_from_slice(b"\n\n");
    block.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAMS: [&str; 6] = [
        "event: a\ndata: {\"type\":\"response.created\"}\n\ndata: {\"n\":1}\n\n: hi\n\ndata: [DONE]\n\n",
        "event: a\r\ndata: {\"n\":1}\r\n\r\ndata: {\"n\":2}\r\n\r\n",
        "data: {\"n\":1}\r\rdata: {\"n\":2}\r\r",
        "\n\n\ndata: {\"n\":\ndata: 1}\n\r\n\r\ndata: {\"n\":2}\n\rdata: {\"n\":3}\r\r\ndata: 4\r\n\n",
        "data: {\"t\":\"ä\u{2028}ö\"}\n\ndata: cut",
        "data: x\r\n\r",
    ];

    fn blocks(chunks: impl Iterator<Item = Bytes>) -> Vec<Bytes> {
        let mut splitter = Splitter::new();
        let mut events = Vec::new();
        for chunk in chunks {
            events.extend(splitter.push(chunk).unwrap());
        }
        events.extend(splitter.finish());
        events.into_iter().map(|event| event.raw).collect()
    }

    #[test]
    fn any_chunking_gives_the_same_events() {
        let mut seed = 7_usize;
        for stream in STREAMS {
            let bytes = Bytes::from_static(stream.as_bytes());
            let whole = blocks(std::iter::once(bytes.clone()));
            for size in 1..bytes.len() {
                let even = bytes.chunks(size).map(Bytes::copy_from_slice);
                assert_eq!(blocks(even), whole, "chunks of {size} of {stream:?}");
            }
            for _ in 0..200 {
                let mut rest = bytes.clone();
                let random = std::iter::from_fn(|| {
                    seed =
                        seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let size = (seed >> 33) % 9;
                    (!rest.is_empty()).then(|| rest.split_to(size.min(rest.len())))
                });
                assert_eq!(blocks(random), whole, "{stream:?}");
            }
        }
    }

    #[test]
    fn every_kind_of_line_end_borders_an_event() {
        let texts = |stream: &'static str| -> Vec<String> {
            let events = blocks(std::iter::once(Bytes::from_static(stream.as_bytes())));
            events.iter().map(|raw| String::from_utf8(raw.to_vec()).unwrap()).collect()
        };
        assert_eq!(texts("data: 1\n\ndata: 2\r\n\r\ndata: 3\r\r").len(), 3);
        assert_eq!(texts("data: 1\r\n\r\ndata: 2"), ["data: 1\r\n\r\n", "data: 2\n\n"]);
        assert_eq!(texts("\n\n"), [""; 0]);
    }

    #[test]
    fn whole_events_are_slices_of_their_chunk() {
        let chunk = Bytes::from_static(b"data: 1\n\ndata: 2\n\nda");
        let range = chunk.as_ptr() as usize..chunk.as_ptr() as usize + chunk.len();
        for event in Splitter::new().push(chunk).unwrap() {
            assert!(range.contains(&(event.raw.as_ptr() as usize)));
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut splitter = Splitter::new();
        let chunk = Bytes::from(vec![b'x'; 1024 * 1024]);
        let refused = (0..20).position(|_| splitter.push(chunk.clone()).is_err());
        assert_eq!(refused, Some(16));
    }

    #[test]
    fn a_frame_names_its_event_when_told() {
        assert_eq!(frame(Some("response.failed"), "{}"), "event: response.failed\ndata: {}\n\n");
        assert_eq!(frame(None, "{}"), "data: {}\n\n");
    }
}
