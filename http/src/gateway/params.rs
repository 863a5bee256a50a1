//! What a path says beside its route.

/// The parameters of a matched path. No route has more than two.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'a> {
    pairs: [(&'static str, &'a str); 2],
    count: usize,
}

impl<'a> Params<'a> {
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'a str)> + '_ {
        self.pairs.iter().take(self.count).copied()
    }

    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    pub fn scheduler(&self) -> Option<&'a str> {
        self.get("scheduler_name").or_else(|| self.get("name"))
    }

    pub fn sets(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn push(&mut self, name: &'static str, value: &'a str) {
        if let Some(slot) = self.pairs.get_mut(self.count) {
            *slot = (name, value);
            self.count += 1;
        }
    }
}
