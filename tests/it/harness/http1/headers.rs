//! Header fields as they came: in order, with names as they were spelled and values as bytes.

use std::fmt;

/// A list of header fields. Looking one up ignores case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// The value of the only field with this name.
    ///
    /// # Panics
    /// When there are two, or when it is not UTF-8: a test that expects that asks for [`Headers::all`].
    #[track_caller]
    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "the field `{name}` is there {} times: {all:?}", all.len());
        all.first().copied()
    }

    /// The values of all fields with this name, in order.
    #[track_caller]
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| std::str::from_utf8(value).expect("a field value in UTF-8"))
            .collect()
    }

    /// Whether there is a field with this name.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The names, as they were spelled.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends a field.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.0.push((name.into(), value.into()));
    }

    /// Whether one of the comma-separated elements of this field is `element`, whatever its case.
    pub fn lists(&self, name: &str, element: &str) -> bool {
        self.all(name)
            .iter()
            .flat_map(|value| value.split(','))
            .any(|each| each.trim_matches([' ', '\t']).eq_ignore_ascii_case(element))
    }
}

/// One `name: value` a line, for the messages of failing tests.
impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_list()
            .entries(self.iter().map(|(name, value)| format!("{name}: {}", value.escape_ascii())))
            .finish()
    }
}

impl From<&http::HeaderMap> for Headers {
    fn from(map: &http::HeaderMap) -> Self {
        Self(map.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect())
    }
}
