//! Method and path → `Route`; one table.

/// What a request is for. The name is the ledger's `route`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/responses`: events as the OpenAI SDKs expect them.
    Responses,
    /// `POST /backend-api/codex/responses`: events as the Codex backend sends them.
    CodexResponses,
    /// `GET /v1/models`
    Models,
    /// `GET /backend-api/codex/models`
    CodexModels,
    Live,
    Ready,
    /// Everything else.
    Dashboard,
}
