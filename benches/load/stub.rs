//! An upstream that answers with events made beforehand: what it costs does not blur what the proxies cost.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Serves on a free port, which is printed first.
pub(crate) fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        crate::process::announce(listener.local_addr()?.port())?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(answer_all(stream));
        }
    })
}

async fn answer_all(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let short = Arc::new(answer(5));
    loop {
        let mut length = 0_usize;
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if lower.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        // The number of events is the model's name: `events-N`; `hold` begins and goes silent.
        let body = String::from_utf8_lossy(&body);
        let wanted = body.split("\"events-").nth(1).and_then(|rest| rest.split('"').next());
        match wanted.and_then(|count| count.parse().ok()) {
            Some(5) => stream.write_all(&short).await?,
            Some(0) => {
                let held = answer(1);
                let begun = held.len() - 5;
                stream.write_all(held.get(..begun).unwrap_or(&held)).await?;
                // Silent until the peer leaves.
                stream.read_to_end(&mut Vec::new()).await?;
                return Ok(());
            }
            Some(count) => write_slowly(&mut stream, count).await?,
            None => stream.write_all(&short).await?,
        }
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn event(kind: &str, rest: &str) -> String {
    chunk(&format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{rest}}}\n\n"))
}

fn created() -> String {
    event(
        "response.created",
        r#","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","output":[]}"#,
    )
}

fn delta() -> String {
    event(
        "response.output_text.delta",
        r#","sequence_number":7,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"some words "#,
    )
    .replace("some words ", "some words \"")
}

fn completed() -> String {
    event(
        "response.completed",
        r#","sequence_number":9,"response":{"id":"resp_1","object":"response","status":"completed","model":"gpt-5.4","output":[],"usage":{"input_tokens":90,"input_tokens_details":{"cached_tokens":64},"output_tokens":20,"output_tokens_details":{"reasoning_tokens":8},"total_tokens":110}}"#,
    ) + "0\r\n\r\n"
}

fn answer(events: usize) -> Vec<u8> {
    let deltas = delta().repeat(events.saturating_sub(2).max(1));
    [HEAD.to_owned(), created(), deltas, completed()].concat().into_bytes()
}

/// Long answers go out event by event, one write each, as a model's do.
async fn write_slowly(stream: &mut BufReader<TcpStream>, events: usize) -> std::io::Result<()> {
    stream.write_all(HEAD.as_bytes()).await?;
    stream.write_all(created().as_bytes()).await?;
    let delta = delta();
    for _ in 0..events.saturating_sub(2) {
        stream.write_all(delta.as_bytes()).await?;
    }
    stream.write_all(completed().as_bytes()).await
}
