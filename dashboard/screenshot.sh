#!/usr/bin/env bash
# Makes dashboard/overview.png, the picture in README.md, from the running demo. Needs chromium and a release build.
set -euo pipefail
cd "$(dirname "$0")/.."

program=${CODEX_LB:-target/release/codex-lb}
work=$(mktemp -d)
"$program" demo >"$work/demo" &
demo=$!
trap 'kill -INT "$demo" 2>/dev/null || true; wait "$demo" 2>/dev/null || true; rm -rf "$work"' EXIT
until grep -q '^Ctrl-C' "$work/demo"; do kill -0 "$demo"; sleep 0.1; done
base=$(head -n 1 "$work/demo")
until curl -fsS "${base%/v1}/health/ready" >/dev/null 2>&1; do kill -0 "$demo"; sleep 0.1; done

ask() { # MODEL CONVERSATION BEGINNING TEXT
    local messages="{\"role\":\"user\",\"content\":\"$3\"},{\"role\":\"assistant\",\"content\":\"Understood.\"},{\"role\":\"user\",\"content\":\"$4\"}"
    curl -fsS "$base/chat/completions" -H 'content-type: application/json' -H "x-session-id: $2" -A 'opencode/1.18' \
        -d "{\"model\":\"$1\",\"stream\":true,\"messages\":[$messages]}" >/dev/null || true
}
beginning=$(printf 'The quick brown fox jumps over the lazy dog. %.0s' {1..400})
for turn in 1 2 3 4; do
    for conversation in parser billing release; do
        ask gpt-5.3-codex "$conversation" "$conversation: $beginning" "Turn $turn: what is next?"
    done
    ask gpt-5.4 docs 'Write the manual.' "Turn $turn: sim:words=120"
done

chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --hide-scrollbars --user-data-dir="$work/chromium" \
    --window-size=1280,1500 --screenshot="$PWD/dashboard/overview.png" "${base%/v1}/" 2>/dev/null
