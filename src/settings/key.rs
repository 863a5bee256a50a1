//! One setting: its name, its form, where its value goes, and what it does. Everything else about settings (the shipped
//! file, the reference in `docs/`, `check-config`) is generated from these declarations.

use super::Settings;
use super::form::Form;

/// The unit of secrets.
pub const SECRET: &str = "secret";

/// A setting for the file and the environment.
pub struct Key {
    /// As in the file: `api.port`. Case-insensitive.
    pub path: &'static str,
    /// One sentence for the reference and for the comments of the shipped file.
    pub does: &'static str,
    pub effect: Effect,
    /// What a non-default value selects while `store.type` or `runtime.type` is `auto`.
    pub selects: Option<Selects>,
    slot: Box<dyn Slot>,
}

/// Whether a setting has an effect in this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Here,
    /// Only parsed and checked, with the reason.
    None(&'static str),
}

/// The cluster adapter that a key selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selects {
    Store,
    Runtime,
}

impl Key {
    /// A setting stored in a field; its default is that of [`Settings::default`].
    pub fn new<T: Clone + 'static>(
        path: &'static str,
        form: &'static Form<T>,
        at: fn(&mut Settings) -> &mut T,
        does: &'static str,
    ) -> Self {
        Self {
            path,
            does,
            effect: Effect::Here,
            selects: None,
            slot: Box::new(Field { form, at }),
        }
    }

    /// A setting of the contract without effect here, for the reason `why`. Its value is checked all the same, so that
    /// a file stays valid for later builds.
    pub fn unused<T: 'static>(
        path: &'static str,
        form: &'static Form<T>,
        shipped: &'static str,
        does: &'static str,
        why: &'static str,
    ) -> Self {
        Self {
            path,
            does,
            effect: Effect::None(why),
            selects: None,
            slot: Box::new(Unused {
                path,
                form,
                shipped,
            }),
        }
    }

    pub fn selecting(mut self, adapter: Selects) -> Self {
        self.selects = Some(adapter);
        self
    }

    /// `MAESTRO_` and the path in upper case, with `_` for `.` (contract 1.3).
    pub fn variable(&self) -> String {
        variable(self.path)
    }

    pub fn unit(&self) -> &'static str {
        self.slot.unit()
    }

    /// Whether its values are never shown.
    pub fn is_secret(&self) -> bool {
        self.unit() == SECRET
    }

    /// Whether its values are text: what YAML reads as a number or a flag (`007`, `1.10`, `off`) stays text.
    pub fn wants_text(&self) -> bool {
        const READ: [&str; 9] = [
            "true/false",
            "auto/true/false",
            "port",
            "count",
            "threads",
            "duration",
            "ms",
            "s",
            "share",
        ];
        !READ.contains(&self.unit())
    }

    pub fn takes_lists(&self) -> bool {
        self.unit() == "list"
    }

    /// # Errors
    /// Why the text is not a valid value, and the expected form.
    pub fn put(&self, settings: &mut Settings, text: &str) -> Result<(), String> {
        self.slot.put(settings, text)
    }

    /// The value in force, in the form of the file.
    pub fn show(&self, settings: &Settings) -> String {
        self.slot.show(settings)
    }
}

pub(super) fn variable(path: &str) -> String {
    format!("MAESTRO_{}", path.to_ascii_uppercase().replace('.', "_"))
}

trait Slot: Send + Sync {
    fn unit(&self) -> &'static str;
    fn put(&self, settings: &mut Settings, text: &str) -> Result<(), String>;
    fn show(&self, settings: &Settings) -> String;
}

struct Field<T: 'static> {
    form: &'static Form<T>,
    at: fn(&mut Settings) -> &mut T,
}

impl<T: Clone> Slot for Field<T> {
    fn unit(&self) -> &'static str {
        self.form.unit
    }

    fn put(&self, settings: &mut Settings, text: &str) -> Result<(), String> {
        let value = match read(self.form, text)? {
            Some(value) => value,
            None => (self.at)(&mut Settings::default()).clone(),
        };
        *(self.at)(settings) = value;
        Ok(())
    }

    fn show(&self, settings: &Settings) -> String {
        (self.form.show)((self.at)(&mut settings.clone()))
    }
}

struct Unused<T: 'static> {
    path: &'static str,
    form: &'static Form<T>,
    shipped: &'static str,
}

impl<T> Slot for Unused<T> {
    fn unit(&self) -> &'static str {
        self.form.unit
    }

    fn put(&self, settings: &mut Settings, text: &str) -> Result<(), String> {
        let shown = match read(self.form, text)? {
            Some(value) => (self.form.show)(&value),
            None => self.shipped.to_owned(),
        };
        settings.unused.insert(self.path, shown);
        Ok(())
    }

    fn show(&self, settings: &Settings) -> String {
        let set = settings.unused.get(self.path);
        set.map_or(self.shipped, String::as_str).to_owned()
    }
}

fn read<T>(form: &Form<T>, text: &str) -> Result<Option<T>, String> {
    (form.read)(text).map_err(|why| match why.as_str() {
        "" => format!("it has to be {}", form.expected),
        why => format!("{why}; it has to be {}", form.expected),
    })
}
