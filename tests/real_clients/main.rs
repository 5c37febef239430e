//! Promise: the real clients work, exactly as their users configure them. Ignored by default, since it installs them
//! from npm and PyPI; `cargo test --test real_clients -- --ignored` runs it.
#![cfg(test)]

mod ai_sdk; // the AI SDK with @ai-sdk/openai-compatible
mod codex_cli; // Codex CLI as a custom provider
mod install; // npm and pip, once
mod openai_python; // openai-python, chat and Responses
mod opencode; // OpenCode with the configuration of its users
