//! The service as browsers and programs meet it, over TCP.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Options;
use crate::app::events::MOST;
use crate::seed::Seed;

struct Service {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Service {
    async fn start(ledger: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let options = Options { ledger: ledger.into(), address_shown: Some("http://lb.example/v1".into()) };
        let task = tokio::spawn(crate::serve(listener, options, async {
            stopped.await.ok();
        }));
        Self { address, stop: Some(stop), task }
    }

    async fn send(&self, method: &str, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut head = String::new();
        write!(head, "{method} {path} HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n").unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    async fn ask(&self, method: &str, path: &str) -> Answer {
        let mut text = String::new();
        self.send(method, path).await.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).await
    }
}

/// Reads until the text has come; fails if it does not.
async fn expect(stream: &mut TcpStream, text: &str) {
    let mut seen = String::new();
    let reading = async {
        while !seen.contains(text) {
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).await.unwrap();
            assert!(length > 0, "the stream ended after {seen:?}");
            seen.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.unwrap();
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let seed = Seed::full(crate::app::now());
    let service = Service::start(&seed.path).await;
    for path in ["/", "/api/overview", "/health", "/nowhere"] {
        let answer = service.get(path).await;
        assert!(
            answer.head.contains("content-security-policy: default-src 'none'; style-src 'self';"),
            "{path}"
        );
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{path}");
        assert!(answer.head.contains("referrer-policy: no-referrer"), "{path}");
        assert!(answer.head.contains("cache-control: no-store"), "{path}");
    }
}

#[tokio::test]
async fn the_overview_is_a_whole_page_whose_assets_exist() {
    let seed = Seed::full(crate::app::now());
    let service = Service::start(&seed.path).await;
    let page = service.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("ada@example.com") && page.body.trim_end().ends_with("</html>"));
    let assets: Vec<&str> = page.body.split('"').filter(|text| text.starts_with("/assets/")).collect();
    assert_eq!(assets.len(), 3);
    for path in assets {
        let asset = service.get(path).await;
        assert_eq!(asset.status, 200, "{path}");
        assert!(asset.head.contains("immutable"), "{path}");
    }
    assert_eq!(service.get("/assets/style.0.css").await.status, 404);
}

#[tokio::test]
async fn the_api_gives_the_same_numbers() {
    let now = crate::app::now();
    let seed = Seed::empty();
    seed.account("ada");
    seed.exchange(now.0, "ada", None, "m", "completed");
    seed.sums("daily", now.0 / 86_400_000 * 86_400_000, "ada", "", "m", 3);
    let service = Service::start(&seed.path).await;
    let json: Value = serde_json::from_str(&service.get("/api/overview").await.body).unwrap();
    assert_eq!(json["periods"]["today"]["requests"], 3);
    assert_eq!(json["days"].as_array().unwrap().len(), 30);
    assert_eq!(json["hours"].as_array().unwrap().len(), 24);
    assert_eq!(json["accounts"][0]["state"], "active");
    assert_eq!(json["exchanges"][0]["account"], "ada");
    assert_eq!(json["top_models"][0]["name"], "m");
}

#[tokio::test]
async fn a_ledger_that_comes_later_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let service = Service::start(&path).await;
    let page = service.get("/").await;
    assert_eq!(page.status, 503);
    assert!(page.body.contains("Waiting for the proxy"));
    assert!(service.get("/health").await.body.contains(r#""status":"ok","ledger":"ledger_missing""#));
    let api: Value = serde_json::from_str(&service.get("/api/overview").await.body).unwrap();
    assert_eq!(api["error"]["code"], "ledger_missing");

    let seed = Seed::empty();
    seed.connection.execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
    let page = service.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("http://lb.example/v1"));
}

#[tokio::test]
async fn a_ledger_of_another_version_is_refused_in_words() {
    let seed = Seed::empty();
    seed.connection.pragma_update(None, "user_version", 2).unwrap();
    let service = Service::start(&seed.path).await;
    let page = service.get("/").await;
    assert_eq!(page.status, 503);
    assert!(page.body.contains("The ledger has version 2 and this dashboard reads version 1"));
}

#[tokio::test]
async fn a_missing_table_gives_a_page_without_sql() {
    let seed = Seed::empty();
    seed.connection.execute_batch("DROP TABLE hourly").unwrap();
    let service = Service::start(&seed.path).await;
    let page = service.get("/").await;
    assert_eq!(page.status, 503);
    assert!(page.body.contains("The ledger cannot be read"));
    assert!(!page.body.contains("hourly") && !page.body.contains("no such"));
}

#[tokio::test]
async fn only_reading_is_allowed() {
    let seed = Seed::empty();
    let service = Service::start(&seed.path).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = service.ask(method, "/").await;
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.head.contains("allow: get,head"), "{method}: {}", answer.head);
    }
    let head = service.ask("HEAD", "/").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_commit_reaches_the_browser_as_an_event() {
    let seed = Seed::empty();
    let service = Service::start(&seed.path).await;
    let mut stream = service.send("GET", "/events").await;
    expect(&mut stream, "text/event-stream").await;
    expect(&mut stream, "event: changed").await; // the first look
    seed.key("laptop");
    expect(&mut stream, "event: changed").await;
}

#[tokio::test]
async fn subscribers_are_bounded_and_their_places_come_back() {
    let seed = Seed::empty();
    let service = Service::start(&seed.path).await;
    let mut streams = Vec::new();
    for _ in 0..MOST {
        let mut stream = service.send("GET", "/events").await;
        expect(&mut stream, "text/event-stream").await;
        streams.push(stream);
    }
    assert_eq!(service.get("/events").await.status, 503);
    drop(streams);
    let again = async {
        loop {
            let mut stream = service.send("GET", "/events").await;
            let mut head = [0; 12];
            stream.read_exact(&mut head).await.unwrap();
            if head.ends_with(b"200") {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.unwrap();
}

#[tokio::test]
async fn told_to_stop_it_ends_event_streams_and_itself() {
    let seed = Seed::empty();
    let mut service = Service::start(&seed.path).await;
    let mut stream = service.send("GET", "/events").await;
    expect(&mut stream, "text/event-stream").await;
    service.stop.take().unwrap().send(()).unwrap();
    let ended = async {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        service.task.await.unwrap().unwrap();
    };
    tokio::time::timeout(Duration::from_secs(3), ended).await.unwrap();
}

/// A page takes 3 s per query at most; a query that reads the rows instead of the sums would be cut off.
#[tokio::test]
#[ignore = "builds a large ledger"]
async fn a_page_over_a_million_exchanges_is_complete() {
    let now = crate::app::now();
    let seed = Seed::full(now);
    seed.million(now);
    let service = Service::start(&seed.path).await;
    let page = service.get("/").await;
    assert_eq!(page.status, 200);
}
