//! Where a value came from, and how it is printed without its secrets.

use std::fmt;

/// The source of a value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file, and the old name if one was used.
    File(String, Option<&'static str>),
    /// The variable's name, and the old name behind it.
    Variable(String, Option<&'static str>),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alias = match self {
            Self::File(path, alias) => write!(f, "file {path}").map(|()| alias)?,
            Self::Variable(name, alias) => write!(f, "variable {name}").map(|()| alias)?,
            Self::Flag(name) => return write!(f, "flag {name}"),
        };
        match alias {
            Some(old) => write!(f, ", as {old}"),
            None => Ok(()),
        }
    }
}

/// What is shown instead of a secret.
pub const MASK: &str = "***";

/// The value with masked passwords: that of a URL, and password parameters.
pub fn masked(value: &str) -> String {
    let mut masked = match authority(value) {
        Some((before, user, after)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{before}{user}:{MASK}{after}")
        }
        None => value.to_owned(),
    };
    for name in ["password=", "token=", "secret="] {
        masked = mask_parameter(&masked, name);
    }
    masked
}

/// A URL in three parts, the middle one `user:password`; `None`: it has no password.
fn authority(value: &str) -> Option<(&str, &str, &str)> {
    let start = value.find("://")? + 3;
    let end = value[start..]
        .find(['/', '?', '#'])
        .map_or(value.len(), |at| start + at);
    // A password may contain any number of @, the host none. With a slash in it this is not a URL,
    // but must be masked too.
    let at = match value[start..end].rfind('@') {
        Some(at) => start + at,
        None => start + value[start..].rfind('@')?,
    };
    let user = &value[start..at];
    user.contains(':')
        .then_some((&value[..start], user, &value[at..]))
}

/// `name` is in lower case and ends in `=`.
fn mask_parameter(value: &str, name: &str) -> String {
    let lower = value.to_ascii_lowercase();
    let Some(at) = lower.find(name) else {
        return value.to_owned();
    };
    let start = at + name.len();
    let end = value[start..]
        .find(['&', ' ', ';'])
        .map_or(value.len(), |end| start + end);
    format!("{}{MASK}{}", &value[..start], &value[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let cases = [
            ("redis://localhost:6379/0", "redis://localhost:6379/0"),
            ("redis://:pw@host/0", "redis://:***@host/0"),
            (
                "postgres://u:p@h/d?sslmode=disable",
                "postgres://u:***@h/d?sslmode=disable",
            ),
            ("postgres://u:p@ss@h:5432/d", "postgres://u:***@h:5432/d"),
            ("postgres://u:p/w@h:5432/d", "postgres://u:***@h:5432/d"),
            (
                "postgres://h/d?user=u&Password=pw&x=1",
                "postgres://h/d?user=u&Password=***&x=1",
            ),
            (
                "host=h password=pw dbname=d",
                "host=h password=*** dbname=d",
            ),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("./kubeconfig", "./kubeconfig"),
        ];
        for (value, shown) in cases {
            assert_eq!(masked(value), shown);
        }
    }
}
