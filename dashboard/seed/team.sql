-- Five accounts in all states, and three keys. `:now` is replaced by the time in epoch milliseconds.

INSERT INTO accounts (id, name, plan, priority, paused, needs_login, cooling_until, cooling_reason, tokens,
                      refresh_hash, refreshed_at, created_at) VALUES
  ('id-ada',   'ada@example.com',   'pro',  0, 0, NULL, NULL, NULL, x'00', '', :now, :now),
  ('id-grace', 'grace@example.com', 'plus', 1, 0, NULL, NULL, NULL, x'00', '', :now, :now),
  ('id-team',  'team seat 3',       'team', 2, 0, NULL, :now + 47 * 60000, 'usage_limit_reached', x'00', '', :now, :now),
  ('id-linus', 'linus@example.com', 'plus', 3, 1, NULL, NULL, NULL, x'00', '', :now, :now),
  ('id-old',   'old@example.com',   'plus', 4, 0, 'refresh_token_reused', NULL, NULL, x'00', '', :now, :now);

-- The last account has not been seen for a day, so its shorter window was reset since.
INSERT INTO windows VALUES
  ('id-ada',   'codex',               18000,   34.0,  :now + 3600000 * 1,   :now - 41000),
  ('id-ada',   'codex',               604800,  41.0,  :now + 3600000 * 29,  :now - 41000),
  ('id-ada',   'gpt-5.3-codex-spark', 604800,  7.0,   :now + 3600000 * 48,  :now - 9000),
  ('id-grace', 'codex',               18000,   81.5,  :now + 3600000 * 2,   :now - 80000),
  ('id-grace', 'codex',               604800,  58.2,  :now + 3600000 * 53,  :now - 80000),
  ('id-team',  'codex',               18000,   100.0, :now + 60000 * 47,    :now - 120000),
  ('id-team',  'codex',               604800,  76.0,  :now + 3600000 * 77,  :now - 120000),
  ('id-linus', 'codex',               18000,   12.0,  :now + 3600000 * 4,   :now - 160000),
  ('id-linus', 'codex',               604800,  93.4,  :now + 3600000 * 101, :now - 160000),
  ('id-old',   'codex',               18000,   98.0,  :now - 3600000 * 20,  :now - 86400000),
  ('id-old',   'codex',               604800,  22.0,  :now + 3600000 * 125, :now - 86400000);

INSERT INTO keys (id, name, hint, hash, created_at) VALUES
  ('id-laptop', 'laptop',       'sk-clb-1', x'01', :now),
  ('id-ci',     'ci',           'sk-clb-2', x'02', :now),
  ('id-build',  'build server', 'sk-clb-3', x'03', :now);
