-- A month of that team's requests: the sums of every hour and day, and the newest exchanges.

CREATE TEMP TABLE busy AS
  SELECT key AS hour, value AS load
  FROM json_each('[1,0,0,0,0,0,1,4,9,14,17,16,10,13,18,20,17,12,9,7,5,4,3,2]');

CREATE TEMP TABLE model AS
  SELECT key AS number, value AS name
  FROM json_each('["gpt-5.3-codex", "gpt-5.3-codex-spark", "gpt-5.2", "gpt-5.1-codex-mini"]');

-- Weekends are calm; the noise depends on the hour alone, so pages of one hour look alike.
CREATE TEMP TABLE load AS
  WITH RECURSIVE age(hours) AS (SELECT 0 UNION ALL SELECT hours + 1 FROM age WHERE hours < 30 * 24 - 1),
  slot AS (SELECT hours, (:now / 3600000 - hours) * 3600000 AS bucket FROM age),
  part AS (
    SELECT bucket, hours, model.number, model.name,
      busy.load * (3 + hours * 31 % 7) / iif(bucket / 86400000 % 7 IN (2, 3), 4, 1) / (1 + 2 * model.number) AS requests
    FROM slot JOIN busy ON busy.hour = bucket / 3600000 % 24 JOIN model)
  SELECT bucket, name AS model, requests,
    iif((hours + number) % 4 = 0, 'id-ada', iif((hours + number) % 4 = 1, 'id-grace', iif((hours + number) % 4 = 2, 'id-team', 'id-linus'))) AS account,
    iif(hours % 5 < 2, 'id-laptop', iif(hours % 5 = 2, 'id-ci', iif(hours % 5 = 3, 'id-build', ''))) AS key,
    requests * (18000 + hours * 17 % 5000) AS input,
    74 + hours * 13 % 20 AS cached_percent
  FROM part WHERE requests > 0;

INSERT INTO hourly
  SELECT bucket, account, key, model, requests, requests / 24, input, input * cached_percent / 100,
    input / 24, input / 50, input * 3 / 5
  FROM load;

INSERT INTO daily
  SELECT bucket / 86400000 * 86400000, account_id, key_id, model, sum(requests), sum(errors), sum(input_tokens),
    sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens), sum(cost_micros)
  FROM hourly GROUP BY 1, 2, 3, 4;

INSERT INTO exchanges
  SELECT printf('%012x%020x', :now - value * 1000, 100 - key), :now - value * 1000, 1900 + key * 6150, 380 + key * 61, 'chat',
    'opencode/1.18', iif(key % 3 = 0, 'id-laptop', iif(key % 3 = 1, 'id-ci', NULL)),
    iif(key % 4 = 1, 'id-grace', iif(key % 4 = 3, 'id-team', 'id-ada')),
    iif(key % 3 = 0, 'gpt-5.3-codex', iif(key % 3 = 1, 'gpt-5.3-codex-spark', 'gpt-5.2')),
    'medium', NULL, 1, 200, 'completed', NULL, 1, 8000 + key * key * 711, (8000 + key * key * 711) * (95 - key * 3) / 100,
    210 + key * 137, 90 + key * 40, (8000 + key * key * 711) * 13 / 10
  FROM json_each('[4,19,44,70,95,131,180,240,300,420,500,610,900,1300,1800,2400,3100,4200,5600,8100,9900]');

UPDATE exchanges SET outcome = 'client_left' WHERE started_at = :now - 70000;
UPDATE exchanges SET outcome = 'incomplete' WHERE started_at = :now - 300000;
UPDATE exchanges SET outcome = 'failed', error_code = 'upstream_stream_truncated' WHERE started_at = :now - 610000;
UPDATE exchanges SET outcome = 'failed', error_code = 'usage_limit_reached', status = 429, attempts = 3,
  first_event_ms = NULL, input_tokens = NULL, cached_tokens = NULL, output_tokens = NULL, reasoning_tokens = NULL,
  cost_micros = NULL WHERE started_at = :now - 180000;
UPDATE exchanges SET outcome = 'refused', error_code = 'invalid_request_error', status = 400, attempts = 0,
  account_id = NULL, first_event_ms = NULL, input_tokens = NULL, cached_tokens = NULL, output_tokens = NULL,
  reasoning_tokens = NULL, cost_micros = NULL, duration_ms = 1 WHERE started_at = :now - 1300000;
UPDATE exchanges SET client = 'codex_cli_rs/0.63', route = 'codex_responses', effort = 'high'
  WHERE started_at IN (:now - 44000, :now - 500000);
UPDATE exchanges SET client = 'openai-python/2.8', effort = NULL, model = 'gpt-new', cost_micros = NULL
  WHERE started_at = :now - 131000;
