-- The ledger, version 1. This file is the contract with the dashboard, which reads the tables and shares no code
-- with the proxy. Times are Unix epoch milliseconds unless the name says otherwise; costs are millionths of a US
-- dollar; token columns follow the upstream's usage object (cached is part of input, reasoning part of output).

-- One ChatGPT seat. `tokens` is sealed by the vault (XChaCha20-Poly1305, associated data = id).
CREATE TABLE accounts (
  id                 TEXT    PRIMARY KEY,        -- <chatgpt account id>_<8 hex of the seat>, stable across logins
  name               TEXT    NOT NULL UNIQUE,    -- what people call it: the email, or a name they gave
  email              TEXT,
  chatgpt_account_id TEXT,                       -- sent upstream as chatgpt-account-id; NULL: header omitted
  plan               TEXT,                       -- as upstream states it: plus, pro, team, …
  priority           INTEGER NOT NULL DEFAULT 0, -- the operator's order, smallest first
  paused             INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  needs_login        TEXT,                       -- why a person must log in again; NULL: no need
  cooling_until      INTEGER,                    -- not used before this time; NULL or past: not cooling
  cooling_reason     TEXT,
  tokens             BLOB    NOT NULL,
  refresh_hash       TEXT    NOT NULL,           -- SHA-256 hex of the refresh token: compare-and-set on rotation
  refreshed_at       INTEGER NOT NULL,
  created_at         INTEGER NOT NULL
) STRICT;

-- One quota window of an account, by its stated length.
CREATE TABLE windows (
  account_id   TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  limit_id     TEXT    NOT NULL,                 -- codex, or the name of an additional limit
  seconds      INTEGER NOT NULL,
  used_percent REAL    NOT NULL,
  resets_at    INTEGER,
  observed_at  INTEGER NOT NULL,
  PRIMARY KEY (account_id, limit_id, seconds)
) STRICT, WITHOUT ROWID;

-- A client's API key. Only a SHA-256 of the key is kept.
CREATE TABLE keys (
  id         TEXT    PRIMARY KEY,
  name       TEXT    NOT NULL UNIQUE,
  hint       TEXT    NOT NULL,                   -- the first characters, to tell keys apart
  hash       BLOB    NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  revoked_at INTEGER
) STRICT;

-- One client request and its answer. Ids are time-ordered, so the newest come last.
CREATE TABLE exchanges (
  id               TEXT    PRIMARY KEY,          -- 32 hex: 48 bits of epoch ms, then random
  started_at       INTEGER NOT NULL,
  duration_ms      INTEGER NOT NULL,
  first_event_ms   INTEGER,                      -- from the request's head to the first output; NULL: there was none
  route            TEXT    NOT NULL,             -- chat, responses, codex_responses, …
  client           TEXT,                         -- product token of the user agent, e.g. opencode/1.18
  key_id           TEXT,
  account_id       TEXT,                         -- the account of the last attempt
  model            TEXT,                         -- as sent upstream
  effort           TEXT,
  service_tier     TEXT,
  stream           INTEGER NOT NULL DEFAULT 0,
  status           INTEGER NOT NULL,             -- HTTP status the client got; 499: it left before one was sent
  outcome          TEXT    NOT NULL,             -- completed, incomplete, failed, client_left, refused
  error_code       TEXT,
  attempts         INTEGER NOT NULL DEFAULT 0,
  input_tokens     INTEGER,
  cached_tokens    INTEGER,
  output_tokens    INTEGER,
  reasoning_tokens INTEGER,
  cost_micros      INTEGER                       -- NULL: the model has no price
) STRICT, WITHOUT ROWID;
CREATE INDEX exchanges_by_time    ON exchanges (started_at);
CREATE INDEX exchanges_by_account ON exchanges (account_id, started_at);
CREATE INDEX exchanges_by_key     ON exchanges (key_id, started_at);

-- Sums, written in the same transaction as the row. '' stands for "none" in the key columns.
CREATE TABLE hourly (
  bucket           INTEGER NOT NULL,             -- start of the hour, UTC, epoch ms
  account_id       TEXT    NOT NULL,
  key_id           TEXT    NOT NULL,
  model            TEXT    NOT NULL,
  requests         INTEGER NOT NULL,
  errors           INTEGER NOT NULL,             -- outcomes failed and refused
  input_tokens     INTEGER NOT NULL,
  cached_tokens    INTEGER NOT NULL,
  output_tokens    INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL,
  cost_micros      INTEGER NOT NULL,
  PRIMARY KEY (bucket, account_id, key_id, model)
) STRICT, WITHOUT ROWID;
CREATE TABLE daily (
  bucket           INTEGER NOT NULL,             -- start of the day, UTC, epoch ms
  account_id       TEXT    NOT NULL,
  key_id           TEXT    NOT NULL,
  model            TEXT    NOT NULL,
  requests         INTEGER NOT NULL,
  errors           INTEGER NOT NULL,
  input_tokens     INTEGER NOT NULL,
  cached_tokens    INTEGER NOT NULL,
  output_tokens    INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL,
  cost_micros      INTEGER NOT NULL,
  PRIMARY KEY (bucket, account_id, key_id, model)
) STRICT, WITHOUT ROWID;

-- Reasoning items that chat-completions clients cannot carry themselves, sealed (associated data = anchor).
CREATE TABLE reasoning (
  anchor     TEXT    PRIMARY KEY,                -- hash of a tool-call id or of an assistant text
  account_id TEXT    NOT NULL,
  items      BLOB    NOT NULL,
  used_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX reasoning_by_use ON reasoning (used_at);

-- One known text, sealed by the vault whose key the other sealed columns need: tells a wrong key at start.
CREATE TABLE key_check (
  id     INTEGER PRIMARY KEY CHECK (id = 1),
  sealed BLOB    NOT NULL
) STRICT;
