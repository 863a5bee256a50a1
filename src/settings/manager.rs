//! Who may give the orders of the K8s manager.

use super::Settings;
use super::form::Form;
use maestro_api::{ManagerAccess, ManagerToken};

impl Settings {
    /// Who may give them, over every transport.
    pub fn manager_access(&self) -> ManagerAccess {
        match &self.manager_token {
            Some(token) => ManagerAccess::Token(token.clone()),
            None => ManagerAccess::ThisMachine,
        }
    }
}

/// A token is not shown, also not by `check-config`. Empty: not set.
pub const OPTIONAL_TOKEN: Form<Option<ManagerToken>> = Form {
    unit: super::key::SECRET,
    expected: "16 to 512 printable ASCII characters without spaces",
    read: |text| match text {
        "" => Ok(Some(None)),
        text => ManagerToken::new(text)
            .map(|token| Some(Some(token)))
            .ok_or_else(String::new),
    },
    show: |token| {
        token
            .as_ref()
            .map_or("", |_| super::origin::MASK)
            .to_owned()
    },
};
