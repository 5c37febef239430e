//! The load: keep-alive connections that send one request after the other and read each answer to its end.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What to send.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// In all, over all connections.
    pub(crate) requests: usize,
    /// Of each answer.
    pub(crate) events: usize,
}

/// What was measured.
pub(crate) struct Stats {
    pub(crate) requests: usize,
    pub(crate) events: usize,
    latencies: Vec<Duration>,
}

impl Stats {
    /// Microseconds from the request's first byte to the answer's last.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = self.latencies.len() * percent / 100;
        let at_rank = self.latencies.get(rank).or(self.latencies.last());
        at_rank.map_or(0.0, |time| time.as_secs_f64() * 1e6)
    }
}

/// Sends the load and waits for every answer.
pub(crate) async fn run(port: u16, shape: Shape) -> std::io::Result<Stats> {
    let share = shape.requests / shape.connections;
    let tasks: Vec<_> =
        (0..shape.connections).map(|_| tokio::spawn(one(port, share, shape.events))).collect();
    let mut latencies = Vec::with_capacity(shape.requests);
    for task in tasks {
        latencies.extend(task.await??);
    }
    latencies.sort_unstable();
    Ok(Stats { requests: latencies.len(), events: latencies.len() * shape.events, latencies })
}

async fn one(port: u16, requests: usize, events: usize) -> std::io::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let request = request(events);
    let mut buffer = vec![0; 64 * 1024];
    let mut latencies = Vec::with_capacity(requests);
    for _ in 0..requests {
        let began = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        let mut tail = Vec::new();
        loop {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                let seen = String::from_utf8_lossy(&tail).into_owned();
                return Err(std::io::Error::other(format!("the answer was cut off after {seen:?}")));
            }
            tail.extend_from_slice(buffer.get(..read).unwrap_or_default());
            if tail.ends_with(b"0\r\n\r\n") {
                break;
            }
            tail.drain(..tail.len().saturating_sub(64));
        }
        latencies.push(began.elapsed());
    }
    Ok(latencies)
}

/// Opens streams that begin and stay silent; they are held until dropped.
pub(crate) async fn hold(port: u16, count: usize) -> std::io::Result<Vec<TcpStream>> {
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(request(0).as_bytes()).await?;
        let mut seen = Vec::new();
        while !seen.windows(8).any(|bytes| bytes == b"response") {
            if stream.read_buf(&mut seen).await? == 0 {
                return Err(std::io::Error::other("an idle stream was cut off"));
            }
        }
        held.push(stream);
    }
    Ok(held)
}

/// A Responses call of about 2 KiB; the stub reads the number of events from the model's name.
fn request(events: usize) -> String {
    let words = "the quick brown fox jumps over the lazy dog ".repeat(40);
    let body = format!(
        r#"{{"model":"events-{events}","instructions":"","stream":true,"store":false,"input":[{{"role":"user","content":[{{"type":"input_text","text":"{words}"}}]}}]}}"#
    );
    format!(
        "POST /backend-api/codex/responses HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nuser-agent: bench/1\r\nsession-id: bench\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
