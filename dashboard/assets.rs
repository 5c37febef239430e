//! The three files a page needs, built in, served under names that change with their content.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

/// A file built into the binary.
pub(crate) struct Asset {
    /// `style.1f3a….css`
    pub(crate) name: String,
    pub(crate) media_type: &'static str,
    pub(crate) content: &'static str,
}

static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("style", "css", "text/css; charset=utf-8", include_str!("assets/style.css")));
static LIVE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("live", "js", "text/javascript; charset=utf-8", include_str!("assets/live.js"))
});
static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg")));

impl Asset {
    fn new(stem: &str, ending: &str, media_type: &'static str, content: &'static str) -> Self {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        Self { name: format!("{stem}.{:016x}.{ending}", hasher.finish()), media_type, content }
    }
}

/// The asset of that name, hash included.
pub(crate) fn find(name: &str) -> Option<&'static Asset> {
    [&*STYLE, &*LIVE, &*ICON].into_iter().find(|asset| asset.name == name)
}

/// Name of the stylesheet, for templates; likewise the next two.
pub(crate) fn style() -> &'static str {
    &STYLE.name
}

pub(crate) fn live() -> &'static str {
    &LIVE.name
}

pub(crate) fn icon() -> &'static str {
    &ICON.name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_change_with_the_content() {
        let name = |content| Asset::new("style", "css", "text/css", content).name;
        assert_eq!(name("a"), name("a"));
        assert_ne!(name("a"), name("b"));
        assert!(find(style()).is_some() && find("style.css").is_none());
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        for asset in [&*STYLE, &*LIVE] {
            assert!(!asset.content.contains("://"), "{}", asset.name);
            assert!(!asset.content.contains("@import"), "{}", asset.name);
        }
    }
}
