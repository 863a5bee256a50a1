//! Scripts, which Redis runs as one step.

use super::error::is_unknown_script;
use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::ClientLike;
use fred::types::{CustomCommand, Value};
use fred::util::sha1_hash;

/// A script of ours with its hash.
pub struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    pub fn new(text: &'static str) -> Self {
        let hash = sha1_hash(text);
        Self { text, hash }
    }

    /// Runs it with one key. A server that does not know it yet, as after a restart, is given its text.
    ///
    /// # Errors
    /// Those of the server and of the connection.
    pub async fn run(&self, client: &Client, key: &str, words: Vec<Value>) -> Result<Value, Error> {
        let arguments = |script: &str| {
            let head = [script.into(), Value::Integer(1), key.into()];
            head.into_iter()
                .chain(words.iter().cloned())
                .collect::<Vec<Value>>()
        };
        let known = CustomCommand::new_static("EVALSHA", None, false);
        match client.custom(known, arguments(&self.hash)).await {
            Err(error) if is_unknown_script(&error) => {
                let whole = CustomCommand::new_static("EVAL", None, false);
                client.custom(whole, arguments(self.text)).await
            }
            other => other,
        }
    }
}
