//! The commands of a batch, as the script takes them: the number of words, and the words.

use fred::types::Value;

/// Words of one command at most: the script hands them over on Lua's stack.
const WORDS_MAX: usize = 1000;

/// Commands in the order in which they are applied. Only this crate's own code makes them; texts of others are values.
#[derive(Debug, Default)]
pub struct Commands {
    words: Vec<Value>,
}

impl Commands {
    /// A command of a fixed number of words.
    pub fn push<const N: usize>(&mut self, name: &'static str, words: [Value; N]) {
        self.words.push(Value::Integer(N as i64 + 1));
        self.words.push(Value::from_static_str(name));
        self.words.extend(words);
    }

    /// A command for as many groups of words as there are, in several parts if they are many. `first` begins each.
    pub fn push_groups<const F: usize, const N: usize>(
        &mut self,
        name: &'static str,
        first: [Value; F],
        groups: impl IntoIterator<Item = [Value; N]>,
    ) {
        let groups: Vec<[Value; N]> = groups.into_iter().collect();
        for part in groups.chunks(WORDS_MAX / N.max(1)) {
            let words = 1 + F + part.len() * N;
            self.words.push(Value::Integer(words as i64));
            self.words.push(Value::from_static_str(name));
            self.words.extend(first.iter().cloned());
            self.words.extend(part.iter().flatten().cloned());
        }
    }

    /// All words, for the script.
    pub fn into_words(self) -> Vec<Value> {
        self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_words_are_several_commands() {
        let mut commands = Commands::default();
        let pairs = (0..1200_i64).map(|n| [Value::from(n), "room".into()]);
        commands.push_groups("ZADD", ["set".into()], pairs);
        let words = commands.into_words();
        assert_eq!(words.len(), 3 * 3 + 2400);
        assert_eq!(words[0], Value::Integer(2 + 1000));
        let mut none = Commands::default();
        none.push_groups("ZADD", ["set".into()], [] as [[Value; 2]; 0]);
        assert!(none.into_words().is_empty());
    }
}
