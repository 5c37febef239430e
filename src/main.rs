//! The `codex-lb` command.

fn main() {}
