//! What the YAML's `filters:` list may contain, and the one `match` that builds filters from it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{Filter, Surroundings, api_key, body_size, cost, headers, ip_allow, model_alias, usage};

/// One entry of the chain: a bare name (`- usage`) or a name with its options (`- body_size: {max_mib: 64}`).
#[derive(Debug, Clone, PartialEq)]
pub enum FilterConfig {
    IpAllow(ip_allow::Config),
    BodySize(body_size::Config),
    ApiKey(api_key::Config),
    ModelAlias(model_alias::Config),
    Headers(headers::Config),
    Usage(usage::Config),
    Cost(cost::Config),
}

impl FilterConfig {
    /// All names that may be written, in the order that suits a chain.
    pub const KINDS: [&'static str; 7] = [
        ip_allow::KIND,
        body_size::KIND,
        api_key::KIND,
        model_alias::KIND,
        headers::KIND,
        usage::KIND,
        cost::KIND,
    ];

    /// The name in the YAML.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::IpAllow(_) => ip_allow::KIND,
            Self::BodySize(_) => body_size::KIND,
            Self::ApiKey(_) => api_key::KIND,
            Self::ModelAlias(_) => model_alias::KIND,
            Self::Headers(_) => headers::KIND,
            Self::Usage(_) => usage::KIND,
            Self::Cost(_) => cost::KIND,
        }
    }

    /// The chain of a configuration that names none.
    pub fn default_chain() -> Vec<Self> {
        vec![
            Self::BodySize(body_size::Config::default()),
            Self::ApiKey(api_key::Config::default()),
            Self::ModelAlias(model_alias::Config::default()),
            Self::Headers(headers::Config::default()),
            Self::Usage(usage::Config::default()),
            Self::Cost(cost::Config::default()),
        ]
    }

    pub(crate) fn build(&self, surroundings: &Surroundings) -> Box<dyn Filter> {
        match self {
            Self::IpAllow(config) => Box::new(ip_allow::IpAllow::new(config)),
            Self::BodySize(config) => Box::new(body_size::BodySize::new(config)),
            Self::ApiKey(config) => Box::new(api_key::ApiKey::new(config, surroundings)),
            Self::ModelAlias(config) => Box::new(model_alias::ModelAlias::new(config)),
            Self::Headers(config) => Box::new(headers::Headers::new(config)),
            Self::Usage(config) => Box::new(usage::ReadUsage::new(config)),
            Self::Cost(config) => Box::new(cost::Cost::new(config, surroundings)),
        }
    }
}

impl<'de> Deserialize<'de> for FilterConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Entry)
    }
}

struct Entry;

impl<'de> Visitor<'de> for Entry {
    type Value = FilterConfig;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a filter's name, or a map of one name to its options")
    }

    fn visit_str<E: Error>(self, kind: &str) -> Result<FilterConfig, E> {
        Options(kind).deserialize(().into_deserializer())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FilterConfig, A::Error> {
        let kind: String = map.next_key()?.ok_or_else(|| Error::invalid_length(0, &self))?;
        let config = map.next_value_seed(Options(&kind))?;
        match map.next_key::<IgnoredAny>()? {
            None => Ok(config),
            Some(_) => Err(Error::custom(format!(
                "an entry of `filters` names one filter; indent the options of `{kind}` below it, \
                 or begin the next filter with `- `"
            ))),
        }
    }
}

/// The options of the filter of this name; nothing (`null`) stands for all defaults.
struct Options<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Options<'_> {
    type Value = FilterConfig;

    fn deserialize<D: Deserializer<'de>>(self, options: D) -> Result<FilterConfig, D::Error> {
        Ok(match self.0 {
            ip_allow::KIND => FilterConfig::IpAllow(read(options)?),
            body_size::KIND => FilterConfig::BodySize(read(options)?),
            api_key::KIND => FilterConfig::ApiKey(read(options)?),
            model_alias::KIND => FilterConfig::ModelAlias(read(options)?),
            headers::KIND => FilterConfig::Headers(read(options)?),
            usage::KIND => FilterConfig::Usage(read(options)?),
            cost::KIND => FilterConfig::Cost(read(options)?),
            unknown => return Err(Error::unknown_variant(unknown, &FilterConfig::KINDS)),
        })
    }
}

fn read<'de, C: DeserializeOwned, D: Deserializer<'de>>(options: D) -> Result<C, D::Error> {
    options.deserialize_option(OrDefaults(PhantomData))
}

/// Reads an absent value as a map without keys, so that an option without a default is missed by its name.
struct OrDefaults<C>(PhantomData<C>);

impl<'de, C: DeserializeOwned> Visitor<'de> for OrDefaults<C> {
    type Value = C;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a map of options")
    }

    fn visit_none<E: Error>(self) -> Result<C, E> {
        C::deserialize(MapDeserializer::new(std::iter::empty::<(&str, &str)>()))
    }

    fn visit_unit<E: Error>(self) -> Result<C, E> {
        self.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, options: D) -> Result<C, D::Error> {
        C::deserialize(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> Result<Vec<FilterConfig>, String> {
        serde_yaml::from_str(text).map_err(|error| error.to_string())
    }

    fn kinds(configs: &[FilterConfig]) -> Vec<&'static str> {
        configs.iter().map(FilterConfig::kind).collect()
    }

    #[test]
    fn a_bare_name_and_a_name_with_options_are_both_read() {
        let text = "
- ip_allow:
    networks: [10.0.0.0/8]
- body_size: {max_mib: 2}
- api_key
- model_alias:
- headers: {}
- usage
- cost: null
";
        let configs = yaml(text).unwrap();
        assert_eq!(kinds(&configs), FilterConfig::KINDS);
        let json = r#"[{"ip_allow":{"networks":["10.0.0.0/8"]}},{"body_size":{"max_mib":2}},"api_key",
            {"model_alias":null},{"headers":{}},"usage",{"cost":null}]"#;
        assert_eq!(serde_json::from_str::<Vec<FilterConfig>>(json).unwrap(), configs);
    }

    #[test]
    fn bare_names_mean_the_defaults() {
        let text = "[body_size, api_key, model_alias, headers, usage, cost]";
        assert_eq!(yaml(text).unwrap(), FilterConfig::default_chain());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, parts) in [
            ("- ratelimit", &["`ratelimit`", "ip_allow, body_size, api_key"][..]),
            ("- ratelimit: {a: 1}", &["`ratelimit`", "ip_allow"]),
            ("- ip_allow", &["networks"]),
            ("- ip_allow: {}", &["networks"]),
            ("- usage: {every: 1}", &["every"]),
            ("- body_size: {max_mb: 64}", &["max_mb", "max_mib"]),
            ("- body_size:\n  max_mib: 64", &["indent the options of `body_size`"]),
            ("- {}", &["a filter's name"]),
            ("- [usage]", &["a filter's name"]),
            ("- body_size: 64", &[]),
        ] {
            let error = yaml(text).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "{text}: {error}");
            }
        }
    }

    /// Files beside this one that are not filters.
    const FRAME: [&str; 6] = ["lib", "chain", "config", "event", "prices", "turn"];

    #[test]
    fn every_file_is_a_filter_with_a_name() {
        let mut files: Vec<String> = std::fs::read_dir(env!("CARGO_MANIFEST_DIR"))
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
            .filter(|name| !FRAME.contains(&name.as_str()))
            .collect();
        let mut kinds = FilterConfig::KINDS;
        files.sort();
        kinds.sort_unstable();
        assert_eq!(files, kinds);
    }

    #[test]
    fn the_readme_has_a_row_for_every_filter_and_numbers_the_default_chain() {
        let rows: Vec<Vec<&str>> = include_str!("README.md")
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| {
                line.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`')).collect()
            })
            .collect();
        let named: Vec<&str> = rows.iter().map(|row| row[0]).collect();
        assert_eq!(named, FilterConfig::KINDS);
        let chain = kinds(&FilterConfig::default_chain());
        for row in rows {
            let place = chain.iter().position(|kind| *kind == row[0]);
            let expected = place.map_or("off".to_owned(), |place| (place + 1).to_string());
            assert_eq!(row.last(), Some(&expected.as_str()), "{}", row[0]);
        }
    }
}
