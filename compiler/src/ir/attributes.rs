//! Attributes of a node in text: names with lists of integers.

/// Attributes by name, in the order in which they are printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(String, Vec<i64>)>);

impl Attributes {
    /// No attributes.
    pub fn new() -> Attributes {
        Attributes::default()
    }

    /// With one more.
    pub fn with(mut self, name: &str, values: impl IntoIterator<Item = i64>) -> Attributes {
        self.0.push((name.to_string(), values.into_iter().collect()));
        self
    }

    /// With one more, where `value` is there.
    pub fn with_optional<const N: usize>(self, name: &str, value: Option<[i64; N]>) -> Attributes {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[i64])> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_slice()))
    }

    /// The attribute `name`, which must be there with `N` values of type `T`.
    ///
    /// # Errors
    /// Where it is missing, has another length, or a value does not fit.
    pub fn get<T: TryFrom<i64>, const N: usize>(&self, name: &str) -> Result<[T; N], String> {
        self.find(name)?.ok_or_else(|| format!("attribute `{name}` is missing"))
    }

    /// The attribute `name`, which may be there.
    ///
    /// # Errors
    /// Where it has another length, or a value does not fit.
    pub fn find<T: TryFrom<i64>, const N: usize>(
        &self,
        name: &str,
    ) -> Result<Option<[T; N]>, String> {
        let Some((_, values)) = self.0.iter().find(|(n, _)| n == name) else {
            return Ok(None);
        };
        let converted: Option<Vec<T>> = values.iter().map(|&v| T::try_from(v).ok()).collect();
        match converted.and_then(|v| v.try_into().ok()) {
            Some(array) => Ok(Some(array)),
            None => {
                Err(format!("attribute `{name}` is {values:?}, expected {N} value(s) in range"))
            }
        }
    }

    /// The values of attribute `name`, however many.
    ///
    /// # Errors
    /// Where it is missing or a value does not fit.
    pub fn list<T: TryFrom<i64>>(&self, name: &str) -> Result<Vec<T>, String> {
        let found = self.0.iter().find(|(n, _)| n == name);
        let values = found.ok_or_else(|| format!("attribute `{name}` is missing"))?;
        let converted: Option<Vec<T>> = values.1.iter().map(|&v| T::try_from(v).ok()).collect();
        converted.ok_or_else(|| format!("attribute `{name}` has a value out of range"))
    }
}
