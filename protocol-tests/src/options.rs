//! Options of the measuring programs: `--name value` and `--name`, in any order, each at most once.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

/// The options that were given.
#[derive(Debug, Clone, Default)]
pub struct Given {
    values: BTreeMap<String, String>,
}

impl Given {
    /// Takes `valued` options with the word behind them, and `bare` ones alone.
    ///
    /// # Errors
    /// An option that is unknown, given twice or without its value.
    pub fn parse(mut arguments: impl Iterator<Item = String>, valued: &[&str], bare: &[&str]) -> Result<Given, String> {
        let mut given = Given::default();
        while let Some(name) = arguments.next() {
            let value = if valued.contains(&name.as_str()) {
                arguments.next().ok_or_else(|| format!("{name} needs a value"))?
            } else if bare.contains(&name.as_str()) {
                String::new()
            } else {
                return Err(format!("unknown option {name}"));
            };
            if given.values.insert(name.clone(), value).is_some() {
                return Err(format!("{name} is given twice"));
            }
        }
        Ok(given)
    }

    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The word behind `name`.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value of `name`, or `default`.
    ///
    /// # Errors
    /// When it is none of this type.
    pub fn number<T>(&self, name: &str, default: T) -> Result<T, String>
    where
        T: FromStr,
        T::Err: Display,
    {
        match self.text(name) {
            Some(word) => word.parse::<T>().map_err(|error| format!("{name} {word}: {error}")),
            None => Ok(default),
        }
    }

    /// A number that is not 0.
    ///
    /// # Errors
    /// When it is none.
    pub fn positive(&self, name: &str, default: u64) -> Result<u64, String> {
        match self.number::<u64>(name, default)? {
            0 => Err(format!("{name} must be above 0")),
            number => Ok(number),
        }
    }

    /// The comma-separated numbers of `name`, or `default`.
    ///
    /// # Errors
    /// When one is no number above 0.
    pub fn counts(&self, name: &str, default: &[u64]) -> Result<Vec<u64>, String> {
        let Some(words) = self.text(name) else { return Ok(default.to_vec()) };
        let mut counts = Vec::new();
        for word in words.split(',') {
            let count = word.trim().parse::<u64>().map_err(|error| format!("{name} {words}: {error}"))?;
            if count == 0 {
                return Err(format!("{name} {words}: counts are above 0"));
            }
            counts.push(count);
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(words: &[&str]) -> Result<Given, String> {
        Given::parse(words.iter().map(|word| (*word).to_owned()), &["--count", "--counts"], &["--json"])
    }

    #[test]
    fn unknown_repeated_and_unfinished_options_are_refused() {
        assert!(given(&["--what"]).is_err_and(|what| what.contains("unknown option --what")));
        assert!(given(&["--count"]).is_err_and(|what| what.contains("needs a value")));
        assert!(given(&["--json", "--json"]).is_err_and(|what| what.contains("twice")));
    }

    #[test]
    fn values_that_are_no_numbers_are_refused() {
        assert!(given(&["--count", "ten"]).unwrap().number::<u64>("--count", 1).is_err());
        assert!(given(&["--count", "0"]).unwrap().positive("--count", 1).is_err());
        assert!(given(&["--counts", "1,,2"]).unwrap().counts("--counts", &[7]).is_err());
        assert!(given(&["--counts", "1,0"]).unwrap().counts("--counts", &[7]).is_err());
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let given = given(&["--counts", "10,100", "--json"]).unwrap();
        assert!(given.is_given("--json") && !given.is_given("--count"));
        assert_eq!(given.counts("--counts", &[7]), Ok(vec![10, 100]));
        assert_eq!(given.positive("--count", 7), Ok(7));
        assert_eq!(given.counts("--count", &[7]), Ok(vec![7]));
    }
}
