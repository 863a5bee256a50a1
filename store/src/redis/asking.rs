//! Reads: many commands in few round trips, and their replies as our types.

use super::error::{is_refusal, store_error};
use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::ClientLike;
use fred::types::{CustomCommand, Value};
use maestro_core::ports::StoreError;
use std::collections::HashMap;

/// Commands of one round trip: enough to make the round trip cheap, few enough to be answered in time.
const TOGETHER: usize = 500;

/// Ids of a queue that are looked at; our own queues are far shorter.
pub const QUEUE_MAX: i64 = 10_000;

/// It could store what it finds, so that a server which is full or a replica refuses it, and a user whose rights do not
/// cover all keys may not look behind the members. Nothing is read then.
const SORT: &str = "SORT";

/// A command that changes nothing.
pub struct Ask(&'static str, Vec<Value>);

impl Ask {
    pub fn new(command: &'static str, arguments: impl IntoIterator<Item = Value>) -> Self {
        Self(command, arguments.into_iter().collect())
    }
    /// A whole hash.
    pub fn hash(key: String) -> Self {
        Self("HGETALL", vec![key.into()])
    }
    /// A whole sorted set with its scores.
    pub fn scores(key: String) -> Self {
        let range = [0.into(), (-1).into(), "WITHSCORES".into()];
        Self::new("ZRANGE", [Value::from(key)].into_iter().chain(range))
    }
    /// The members of a sorted set with a score above zero.
    pub fn above_zero(key: String) -> Self {
        let range = ["(0".into(), "+inf".into(), "WITHSCORES".into()];
        Self::new("ZRANGEBYSCORE", [Value::from(key)].into_iter().chain(range))
    }
    /// A page of a hash, from a cursor on that an earlier page named; the first one is `0`.
    pub fn page(key: String, cursor: &str, fields: usize) -> Self {
        let fields = i64::try_from(fields).unwrap_or(i64::MAX);
        let from = [cursor.into(), "COUNT".into(), fields.into()];
        Self::new("HSCAN", [Value::from(key)].into_iter().chain(from))
    }
    /// The newest members of a sorted set with their scores.
    pub fn newest(key: String, members: i64) -> Self {
        let range = [0.into(), (members - 1).into(), "WITHSCORES".into()];
        Self::new("ZREVRANGE", [Value::from(key)].into_iter().chain(range))
    }
    /// The newest members of a sorted set, each followed by a field of its hash: one command instead of one for each.
    pub fn behind_newest(key: String, members: i64, hashes: &str, field: &str) -> Self {
        let words = [
            "BY".into(),
            "nosort".into(),
            "DESC".into(),
            "LIMIT".into(),
            0.into(),
            members.into(),
            "GET".into(),
            "#".into(),
            "GET".into(),
            format!("{hashes}*->{field}").into(),
        ];
        Self::new(SORT, [Value::from(key)].into_iter().chain(words))
    }
    /// The first items of a list.
    pub fn list(key: String, items: i64) -> Self {
        Self("LRANGE", vec![key.into(), 0.into(), (items - 1).into()])
    }
    /// Fields of a hash; nil for those that are not there.
    pub fn fields<T: ToString>(key: String, names: impl IntoIterator<Item = T>) -> Self {
        let names = names.into_iter().map(|name| name.to_string().into());
        Self::new("HMGET", [Value::from(key)].into_iter().chain(names))
    }
}

/// The replies to these commands, in order.
///
/// # Errors
/// If the server cannot be asked, or refuses a command for another reason than the type of its key.
pub async fn ask(client: &Client, commands: Vec<Ask>) -> Result<Vec<Reply>, StoreError> {
    // Otherwise each command would wait its whole time for a connection.
    if !client.is_connected() {
        let text = "Redis is not connected; it is tried again and again";
        return Err(StoreError::Unavailable(text.into()));
    }
    let mut replies = Vec::with_capacity(commands.len());
    let mut commands = commands.into_iter().peekable();
    while commands.peek().is_some() {
        let pipeline = client.pipeline();
        let mut optional = Vec::new();
        for Ask(command, arguments) in commands.by_ref().take(TOGETHER) {
            optional.push(command == SORT);
            let command = CustomCommand::new_static(command, None, false);
            let queued: Result<Value, Error> = pipeline.custom(command, arguments).await;
            queued.map_err(|error| store_error(&error))?;
        }
        let answers: Vec<Result<Value, Error>> = pipeline.try_all().await;
        let whole = answers.len() == optional.len();
        for (answer, optional) in answers.into_iter().zip(optional) {
            replies.push(match answer {
                Ok(value) => Reply::Value(value),
                Err(error) if error.details().starts_with("WRONGTYPE") => Reply::WrongType,
                Err(error) if optional && is_refusal(&error) => Reply::Value(Value::Null),
                Err(error) => return Err(store_error(&error)),
            });
        }
        if !whole {
            return Err(StoreError::Unavailable(
                "Redis: an answer is missing".into(),
            ));
        }
    }
    Ok(replies)
}

/// A reply to a read.
pub enum Reply {
    Value(Value),
    /// Another program stored something else under this key.
    WrongType,
}

/// The key has another type than the contract says.
#[derive(Clone, Copy, Debug)]
pub struct WrongType;

impl Reply {
    fn items(self) -> Result<Vec<Value>, WrongType> {
        match self {
            Self::Value(Value::Array(items)) => Ok(items),
            Self::Value(Value::Null) => Ok(Vec::new()),
            // A hash, where the connection speaks RESP3.
            Self::Value(Value::Map(map)) => {
                let pairs = map.inner().into_iter();
                Ok(pairs
                    .flat_map(|(field, value)| [field.into(), value])
                    .collect())
            }
            Self::Value(other) => Ok(vec![other]),
            Self::WrongType => Err(WrongType),
        }
    }

    /// The items of a list.
    pub fn texts(self) -> Result<Vec<String>, WrongType> {
        Ok(self.items()?.into_iter().map(text).collect())
    }

    /// Items that may be missing.
    pub fn optional(self) -> Result<Vec<Option<String>>, WrongType> {
        let items = self.items()?.into_iter();
        let text = |item| (!matches!(item, Value::Null)).then(|| text(item));
        Ok(items.map(text).collect())
    }

    /// Fields and values of a hash.
    pub fn hash(self) -> Result<HashMap<String, String>, WrongType> {
        let mut texts = self.texts()?.into_iter();
        let mut hash = HashMap::new();
        while let (Some(field), Some(value)) = (texts.next(), texts.next()) {
            hash.insert(field, value);
        }
        Ok(hash)
    }

    /// The cursor of the next page, `0` after the last one, and the fields and values of this one.
    pub fn page(self) -> Result<(String, Vec<(String, String)>), WrongType> {
        let mut parts = self.items()?.into_iter();
        let next = parts.next().map_or_else(|| "0".to_owned(), text);
        let fields = parts.next().map_or(Value::Null, |fields| fields);
        let mut texts = Self::Value(fields).texts()?.into_iter();
        let mut pairs = Vec::new();
        while let (Some(field), Some(value)) = (texts.next(), texts.next()) {
            pairs.push((field, value));
        }
        Ok((next, pairs))
    }

    /// Members and scores of a sorted set, in its order.
    pub fn scores(self) -> Result<Vec<(String, i64)>, WrongType> {
        let mut texts = self.texts()?.into_iter();
        let mut scores = Vec::new();
        while let (Some(member), Some(score)) = (texts.next(), texts.next()) {
            // Scores are whole numbers; a fraction of another program's is cut, and infinity saturates.
            let score = score.parse::<f64>().unwrap_or(0.0) as i64;
            scores.push((member, score));
        }
        Ok(scores)
    }

    /// A number, such as a size; 0 for anything else.
    pub fn number(self) -> Result<u64, WrongType> {
        match self {
            Self::Value(value) => Ok(value.as_u64().unwrap_or(0)),
            Self::WrongType => Err(WrongType),
        }
    }
}

/// A value as text. What is no UTF-8 is of no use to us, and is shown with replacement characters.
fn text(value: Value) -> String {
    match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => other.into_string().unwrap_or_default(),
    }
}
