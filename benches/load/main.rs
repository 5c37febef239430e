//! Load against the real binary, side by side with a bare Pingora pass-through and with nginx, in the same run.
//!
//! Every figure is a ratio to the bare pass-through: CPU per request, added latency, events per CPU second, memory
//! per idle stream. `cargo bench --bench load`, a minute; `-- --quick` for a look.

mod bare; // the pass-through to compare with
mod client; // the load
mod process; // children: start, CPU, memory, end
mod stub; // an upstream that costs next to nothing

use std::io::Write;
use std::time::Duration;

use client::{Shape, Stats};
use process::Subject;

/// One line of the table.
struct Row {
    name: &'static str,
    short: Stats,
    short_cpu: Duration,
    long: Stats,
    long_cpu: Duration,
    idle_kib: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--stub") => return stub::serve(),
        Some("--bare") => return bare::serve(&arguments),
        _ => {}
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let home = tempfile::tempdir()?;
    let stub = process::stub()?;
    let mut rows = Vec::new();
    for start in [process::bare, process::codex_lb, process::nginx] {
        match start(stub.port, home.path())? {
            Some(subject) => rows.push(runtime.block_on(measure(&subject, quick))?),
            None => writeln!(std::io::stdout(), "nginx is not installed: left out")?,
        }
    }
    report(&rows)?;
    Ok(())
}

async fn measure(subject: &Subject, quick: bool) -> std::io::Result<Row> {
    let (requests, streams) = if quick { (500, 4) } else { (20_000, 40) };
    client::run(subject.port, Shape { connections: 8, requests: requests / 10, events: 5 }).await?;
    let before = subject.child.cpu();
    let short = client::run(subject.port, Shape { connections: 8, requests, events: 5 }).await?;
    let short_cpu = subject.child.cpu() - before;

    let before = subject.child.cpu();
    let long = client::run(subject.port, Shape { connections: 4, requests: streams, events: 20_000 }).await?;
    let long_cpu = subject.child.cpu() - before;

    let idle = if quick { 50 } else { 500 };
    let before = subject.child.resident_kib();
    let held = client::hold(subject.port, idle).await?;
    let idle_kib = (subject.child.resident_kib() - before) / idle as f64;
    drop(held);
    Ok(Row { name: subject.name, short, short_cpu, long, long_cpu, idle_kib })
}

fn report(rows: &[Row]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let Some(base) = rows.first() else { return Ok(()) };
    let per = |cpu: Duration, count: usize| cpu.as_secs_f64() * 1e6 / count as f64;
    writeln!(
        out,
        "\n{:<10} {:>14} {:>12} {:>12} {:>16} {:>14}",
        "", "CPU/request", "p50", "p99", "CPU/event", "idle stream"
    )?;
    for row in rows {
        writeln!(
            out,
            "{:<10} {:>11.1} µs {:>9.0} µs {:>9.0} µs {:>13.2} µs {:>10.0} KiB",
            row.name,
            per(row.short_cpu, row.short.requests),
            row.short.percentile(50),
            row.short.percentile(99),
            per(row.long_cpu, row.long.events),
            row.idle_kib,
        )?;
    }
    writeln!(out, "\nratios to bare Pingora")?;
    for row in rows {
        writeln!(
            out,
            "{:<10} {:>12.2}× {:>11.2}× {:>11.2}× {:>14.2}× {:>12.2}×",
            row.name,
            per(row.short_cpu, row.short.requests) / per(base.short_cpu, base.short.requests),
            row.short.percentile(50) / base.short.percentile(50),
            row.short.percentile(99) / base.short.percentile(99),
            per(row.long_cpu, row.long.events) / per(base.long_cpu, base.long.events),
            row.idle_kib / base.idle_kib,
        )?;
    }
    Ok(())
}
