//! Builds the request message: from the body or the query first, then from the path, which takes precedence (contract
//! 2.1).

use actix_web::web::Bytes;
use maestro_api::Status;
use maestro_api::codec::{Message, decode, decode_yaml};

use super::answer::Failure;
use super::params::Params;
use super::query::Values;

/// Source of the fields that are not in the path.
pub enum Source {
    Body(Bytes),
    /// A body in YAML (decision D25).
    Yaml(Bytes),
    Query(Values),
}

/// The parts of a request whose route is known.
pub struct Input<'a> {
    pub params: Params<'a>,
    pub source: Source,
}

impl Input<'_> {
    pub fn message<M: Message>(&self) -> Result<M, Failure> {
        let mut message = match &self.source {
            Source::Body(body) => {
                decode(body).map_err(|error| Status::invalid_argument(error.to_string()))?
            }
            Source::Yaml(body) => {
                decode_yaml(body).map_err(|error| Status::invalid_argument(error.to_string()))?
            }
            Source::Query(_) => M::default(),
        };
        for (name, value) in self.params.iter() {
            let position = M::FIELDS.iter().position(|field| field.proto == name);
            // Templates name only string fields of their request; a test checks that.
            if let Some(position) = position
                && message.bind(position, value).is_err()
            {
                return Err(
                    Status::internal(format!("path parameter {name} is not a text field")).into(),
                );
            }
        }
        if let Source::Query(values) = &self.source {
            values.bind(&mut message, &self.params)?;
        }
        Ok(message)
    }
}
