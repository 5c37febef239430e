//! Which account or key a person means by a word.

use super::Failure;

/// What one may be called.
pub(super) struct Called<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) email: Option<&'a str>,
}

/// The one that `wanted` names: by its name, else its email, else the beginning of its id.
pub(super) fn choose<'a, T>(
    kind: &str,
    wanted: &str,
    all: &'a [T],
    called: impl Fn(&'a T) -> Called<'a>,
) -> Result<&'a T, Failure> {
    let by = |fits: &dyn Fn(&Called<'a>) -> bool| -> Vec<&'a T> {
        all.iter().filter(|one| fits(&called(one))).collect()
    };
    let found = [
        by(&|one| one.name == wanted || one.id == wanted),
        by(&|one| one.email.is_some_and(|email| email.eq_ignore_ascii_case(wanted))),
        by(&|one| !wanted.is_empty() && one.id.starts_with(wanted)),
    ]
    .into_iter()
    .find(|found| !found.is_empty())
    .unwrap_or_default();
    let names = |ones: &[&'a T]| {
        let names = ones.iter().map(|one| {
            let one = called(one);
            format!("{} ({})", one.name, one.id)
        });
        names.collect::<Vec<_>>().join(", ")
    };
    match found.as_slice() {
        [one] => Ok(*one),
        [] if all.is_empty() => Err(Failure::Failed(format!("there is no {kind} yet"))),
        [] => {
            let all: Vec<&T> = all.iter().collect();
            Err(Failure::Failed(format!("no {kind} is called {wanted:?}; there are: {}", names(&all))))
        }
        several => Err(Failure::Failed(format!("{wanted:?} fits more than one {kind}: {}", names(several)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(&str, &str, &str); 3] =
        [("aa11", "home", "me@x.y"), ("aa22", "work", "me@x.y"), ("bb33", "aa", "other@x.y")];

    fn chosen(wanted: &str) -> Result<&'static str, String> {
        let called = |one: &'static (&str, &str, &str)| Called { id: one.0, name: one.1, email: Some(one.2) };
        choose("account", wanted, &ALL, called).map(|one| one.0).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_name_comes_before_an_email_and_that_before_an_id() {
        assert_eq!(chosen("work"), Ok("aa22"));
        assert_eq!(chosen("Other@x.y"), Ok("bb33"));
        assert_eq!(chosen("bb"), Ok("bb33"));
        assert_eq!(chosen("aa"), Ok("bb33"), "a name, though two ids begin like it");
    }

    #[test]
    fn what_is_not_clear_is_answered_with_the_names() {
        assert_eq!(
            chosen("me@x.y").unwrap_err(),
            r#""me@x.y" fits more than one account: home (aa11), work (aa22)"#
        );
        assert!(chosen("nobody").unwrap_err().contains("there are: home (aa11), work (aa22), aa (bb33)"));
        assert!(chosen("").is_err());
    }
}
