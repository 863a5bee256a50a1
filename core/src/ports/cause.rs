//! Why an adapter failed; part of every port's errors.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A message for people, and the underlying error for those who follow the chain. Cheap to clone, because one failed
/// commit answers many callers.
///
/// The errors of ports include the message in their own, so their `source` is the underlying error and not this.
#[derive(Clone, Debug)]
pub struct Cause {
    text: Arc<str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Cause {
    /// `text` is complete by itself; `source` is the error behind it.
    pub fn new(text: impl Into<Arc<str>>, source: impl Error + Send + Sync + 'static) -> Self {
        Self {
            text: text.into(),
            source: Some(Arc::new(source)),
        }
    }

    /// Uses the error's own message. Its own causes remain reachable through the source.
    pub fn of(error: impl Error + Send + Sync + 'static) -> Self {
        Self::new(error.to_string(), error)
    }

    /// The message for people, without the source.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // A reference to the shared error rather than to its `Arc`, so that it can be downcast.
        self.source.as_deref().map(|error| error as _)
    }
}

impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        Self {
            text: text.into(),
            source: None,
        }
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        Self {
            text: text.into(),
            source: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ports::{Cause, CommitError, RuntimeError, StoreError};
    use std::error::Error;
    use std::io;

    fn full() -> Cause {
        let error = io::Error::from(io::ErrorKind::StorageFull);
        Cause::new("no space left on device", error)
    }

    #[test]
    fn the_errors_of_ports_lead_to_what_they_came_from() {
        let errors: [Box<dyn Error>; 3] = [
            Box::new(StoreError::Unavailable(full())),
            Box::new(CommitError::NotApplied(full())),
            Box::new(RuntimeError::Exhausted(full())),
        ];
        for error in errors {
            assert!(error.to_string().contains("no space left on device"));
            let source = error.source().expect("a source");
            let source: &io::Error = source.downcast_ref().expect("the error itself");
            assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        }
        assert!(StoreError::Corrupt("bad".into()).source().is_none());
    }
}
