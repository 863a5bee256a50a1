//! The collected violations, and the rules that many fields share.

use super::invalid::{Invalid, Violation};
use std::{borrow::Cow, fmt::Display};

/// A broken rule: its tag, and what it demands.
pub type Broken = (&'static str, Cow<'static, str>);

/// Limit of collected violations. A body of one mebibyte can have millions, and the answer would have hundreds of
/// mebibytes.
pub const FINDINGS_MAX: usize = 1_000;

#[derive(Default)]
pub struct Findings(Vec<Violation>);

impl Findings {
    /// Records the first broken rule of a field.
    pub fn field(
        &mut self,
        parent: &str,
        field: &'static str,
        rules: impl IntoIterator<Item = Option<Broken>>,
    ) {
        if let Some((tag, reason)) = rules.into_iter().flatten().next() {
            self.0.push(Violation {
                path: format!("{parent}.{field}"),
                field,
                tag,
                reason,
            });
        }
    }

    /// Whether the limit is reached; the rest of a list need not be checked.
    pub fn is_full(&self) -> bool {
        self.0.len() >= FINDINGS_MAX
    }

    pub fn into_result(self) -> Result<(), Invalid> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(Invalid::Fields(self.0)),
        }
    }
}

/// A rule that concerns one field only.
pub fn rule(holds: bool, tag: &'static str, reason: &'static str) -> Option<Broken> {
    (!holds).then_some((tag, Cow::Borrowed(reason)))
}

pub fn required(present: bool) -> Option<Broken> {
    rule(present, "required", "is a required field")
}

pub fn at_least(value: i32, least: i32) -> Option<Broken> {
    (value < least).then(|| ("min", format!("must be {least} or greater").into()))
}

pub fn at_most(value: i32, most: i32) -> Option<Broken> {
    (value > most).then(|| ("max", format!("must be {most} or less").into()))
}

pub fn chars_at_most(text: &str, most: usize) -> Option<Broken> {
    let reason = || format!("must be a maximum of {most} characters in length").into();
    (text.chars().count() > most).then(|| ("max", reason()))
}

/// NaN compares as not greater.
pub fn greater_than<T: PartialOrd + Display>(value: T, bound: T) -> Option<Broken> {
    let greater = value > bound;
    (!greater).then(|| ("gt", format!("must be greater than {bound}").into()))
}

pub fn less_than<T: PartialOrd + Display>(value: T, bound: T) -> Option<Broken> {
    let less = value < bound;
    (!less).then(|| ("lt", format!("must be less than {bound}").into()))
}
