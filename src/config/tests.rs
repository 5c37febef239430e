//! The configuration as operators write it: defaults, the layers' agreement, and what errors say.

use std::collections::BTreeSet;

use super::outline::{Outline, parent};
use super::*;

const SHIPPED: &str = include_str!("../../conf/codex-lb.yaml");

fn around() -> Surroundings {
    Surroundings { home: Some("/home/u".into()), state_directory: None }
}

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, "f.yaml", &around()).map_err(|error| error.to_string())
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err()
}

#[test]
fn nothing_written_means_the_defaults() {
    let defaults = Config::default_in(Path::new("/home/u/.codex-lb"));
    for text in
        ["", "# only a comment\n", "---\n", "routing:\n  # strategy: priority\n", "upstream:\n  headers:\n"]
    {
        assert_eq!(parse(text).unwrap(), defaults, "{text:?}");
    }
}

#[test]
fn the_shipped_file_states_the_built_in_defaults() {
    assert_eq!(parse(SHIPPED).unwrap(), Config::default_in(Path::new("/home/u/.codex-lb")));
}

/// Keys without a default are commented out with `#` and no space; prose has a space.
#[test]
fn the_shipped_file_shows_every_key() {
    let shown: String = SHIPPED.lines().map(|line| uncommented(line) + "\n").collect();
    assert_eq!(parse(&shown).map(|_| ()), Ok(()), "{shown}");
    let paths: BTreeSet<String> = Outline::of(&shown).paths().map(str::to_owned).collect();
    let sections = paths.iter().filter_map(|path| parent(path)).filter(|path| !path.contains("headers"));
    let sections: BTreeSet<&str> = sections.chain([""]).filter(|path| !path.starts_with("filters")).collect();
    for section in sections {
        for key in keys_of(section) {
            let path = if section.is_empty() { key } else { format!("{section}.{key}") };
            assert!(paths.contains(&path), "conf/codex-lb.yaml does not show {path}");
        }
    }
}

fn uncommented(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let (space, rest) = line.split_at(indent);
    match rest.strip_prefix('#') {
        Some(key) if !key.starts_with([' ', '#']) => format!("{space}{key}"),
        Some(_) | None => line.to_owned(),
    }
}

/// What the reader knows in this section, taken from what it says about a key it does not know.
fn keys_of(section: &str) -> Vec<String> {
    let open: String =
        section.split('.').filter(|name| !name.is_empty()).map(|name| format!("{{{name}: ")).collect();
    let close = "}".repeat(open.matches('{').count());
    let said = refusal(&format!("{open}{{unheard_of: 1}}{close}"));
    let (_, known) = said.split_once("(known: ").expect(&said);
    known.trim_end_matches(')').split(", ").map(str::to_owned).collect()
}

#[test]
fn every_value_arrives_where_it_belongs() {
    let config = parse(
        "listen: {http: '[::1]:1', https: {address: '0.0.0.0:2', certificate: ~/c.pem, key: /k.pem}}\n\
         data_dir: /d\n\
         upstream:\n  base_url: http://127.0.0.1:9/api\n  auth_url: https://a.example\n  headers: {x-b: two}\n  \
         ca_file: /ca.pem\n  timeouts: {connect: 1s, head: 2m, idle: 3h}\n\
         routing: {strategy: round_robin, attempts: 7}\n\
         auth: {api_keys: always, trusted_proxies: [10.0.0.0/8, '::1']}\n\
         limits: {body: 5MiB, body_idle: 6s}\n\
         chat: {reasoning_summary: off, reasoning_memory: 8MiB}\n\
         filters: [api_key]\n\
         prices_file: /prices.yaml\n\
         dashboard: {listen: off}\n\
         metrics: {listen: '127.0.0.1:9464'}\n\
         retention: {requests: 90d}\n\
         log: {level: debug, format: json}\n",
    )
    .unwrap();
    let https = Https {
        address: "0.0.0.0:2".parse().unwrap(),
        certificate: "/home/u/c.pem".into(),
        key: "/k.pem".into(),
    };
    let seconds = Duration::from_secs;
    let expected = Config {
        source: None,
        listen: Listen { http: "[::1]:1".parse().unwrap(), https: Some(https) },
        data_dir: "/d".into(),
        upstream: Upstream {
            base_url: "http://127.0.0.1:9/api".into(),
            auth_url: "https://a.example".into(),
            headers: vec![("x-b".into(), "two".into())],
            ca_file: Some("/ca.pem".into()),
            timeouts: Timeouts { connect: seconds(1), head: seconds(120), idle: seconds(10_800) },
        },
        routing: Routing { strategy: Strategy::RoundRobin, attempts: 7 },
        auth: Auth {
            api_keys: ApiKeys::Always,
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        },
        limits: Limits { body: 5 << 20, body_idle: seconds(6) },
        chat: Chat { reasoning_summary: None, reasoning_memory: 8 << 20 },
        filters: config.filters.clone(),
        prices_file: Some("/prices.yaml".into()),
        prices: config.prices.clone(),
        dashboard: Dashboard::Off,
        metrics: Some("127.0.0.1:9464".parse().unwrap()),
        retention: Retention { requests: seconds(90 * 86_400) },
        log: Log { level: log::LevelFilter::Debug, format: LogFormat::Json },
    };
    assert_eq!(config, expected);
    assert_eq!(config.filters.iter().map(FilterConfig::kind).collect::<Vec<_>>(), ["api_key"]);
}

#[test]
fn prices_are_built_in_or_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let prices = write("prices.yaml", codex_lb_filters::Prices::BUILT_IN);
    let file = write("codex-lb.yaml", &format!("data_dir: /d\nprices_file: {}\n", prices.display()));
    let config = Config::load(Some(&file)).unwrap();
    assert_ne!(*config.prices, codex_lb_filters::Prices::default());
    assert_eq!(config.prices, Config::default_in(Path::new("/d")).prices);

    write("prices.yaml", "long_context_above: 1\naliases: {}\nmodells: {}\n");
    let said = Config::load(Some(&file)).unwrap_err().to_string();
    let expected = "prices.yaml:3:1: unknown key \"modells\"; did you mean \"models\"?";
    assert!(said.starts_with(folder.path().to_str().unwrap()) && said.contains(expected), "{said}");
}

#[test]
fn the_data_directory_is_systemds_or_below_home() {
    let systemd = Surroundings { state_directory: Some("/var/lib/codex-lb".into()), ..around() };
    assert_eq!(Config::parse("", "f", &systemd).unwrap().data_dir, Path::new("/var/lib/codex-lb"));
    let nobody = Surroundings::default();
    let said = Config::parse("", "f", &nobody).unwrap_err().to_string();
    assert_eq!(said, "f: data_dir: neither $STATE_DIRECTORY nor $HOME is set; name an absolute path here");
}

#[test]
fn an_error_points_at_the_key_and_names_the_nearest_one() {
    assert_eq!(
        refusal("# first\nrouting:\n    stratgy: priority\n"),
        "f.yaml:3:5: unknown key \"stratgy\" in routing; did you mean \"strategy\"? (known: attempts, strategy)"
    );
    assert_eq!(
        refusal("filters:\n  - api_kye\n").split_once(" (known").unwrap().0,
        "f.yaml:2:5: filters[0]: unknown filter \"api_kye\"; did you mean \"api_key\"?"
    );
}

#[test]
fn an_error_in_a_value_points_at_the_value() {
    assert_eq!(
        refusal("routing: {attempts: 11}\n"),
        "f.yaml:1:21: routing.attempts: 11 is out of range; expected 1 to 10"
    );
    assert_eq!(refusal("upstream:\n  auth_url: 'https://a/'\n").split_once(": ").unwrap().0, "f.yaml:2:13");
}

#[test]
fn values_of_headers_stay_out_of_errors() {
    let said = refusal("upstream: {headers: {x-token: \"canary\\nline\"}}\n");
    assert!(said.contains("upstream.headers.x-token") && !said.contains("canary"), "{said}");
}

#[test]
fn no_text_makes_the_reader_panic_and_every_error_is_one_line() {
    let pieces = [
        "",
        "\0",
        "\u{feff}",
        "- a",
        "[a]: b",
        "? {a: b}\n: c",
        "&x 1",
        "*x",
        "log: !y {}",
        "\t",
        "{",
        "%YAML 9",
    ];
    for first in pieces {
        for second in pieces {
            let said = refusal(&format!("{first}\n{second}\nnone: 1\n"));
            assert!(said.starts_with("f.yaml") && !said.contains('\n'), "{said}");
        }
    }
    let deep = "[".repeat(100_000);
    assert!(refusal(&deep).len() < 300);
}
