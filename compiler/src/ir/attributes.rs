//! Attributes of a node in text: names with lists of numbers.

/// Attributes by name, in the order in which they are printed. Integers and f32 are held exactly.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(Vec<(String, Vec<f64>)>);

impl Attributes {
    /// No attributes.
    pub fn new() -> Attributes {
        Attributes::default()
    }

    /// With one more.
    pub fn with(self, name: &str, values: impl IntoIterator<Item = i64>) -> Attributes {
        self.with_real(name, values.into_iter().map(|v| v as f64))
    }

    /// With one more, of real numbers.
    pub fn with_real(
        mut self,
        name: &str,
        values: impl IntoIterator<Item = impl Into<f64>>,
    ) -> Attributes {
        self.0.push((name.to_string(), values.into_iter().map(Into::into).collect()));
        self
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_slice()))
    }

    /// The attribute `name`, which must be there with `N` integers of type `T`.
    ///
    /// # Errors
    /// Where it is missing, has another length, or a value does not fit.
    pub fn get<T: TryFrom<i64>, const N: usize>(&self, name: &str) -> Result<[T; N], String> {
        self.find(name)?.ok_or_else(|| missing(name))
    }

    /// The attribute `name`, which may be there, with `N` integers of type `T`.
    ///
    /// # Errors
    /// Where it has another length, or a value does not fit.
    pub fn find<T: TryFrom<i64>, const N: usize>(
        &self,
        name: &str,
    ) -> Result<Option<[T; N]>, String> {
        let Some(values) = self.values(name) else { return Ok(None) };
        match integers(values).and_then(|v| v.try_into().ok()) {
            Some(array) => Ok(Some(array)),
            None => Err(format!(
                "attribute `{name}` is {}, expected {N} value(s) in range",
                list(values)
            )),
        }
    }

    /// The attribute `name`, which may be there, with `N` real numbers.
    ///
    /// # Errors
    /// Where it has another length, or holds NaN.
    pub fn find_real<const N: usize>(&self, name: &str) -> Result<Option<[f32; N]>, String> {
        let Some(values) = self.find_reals(name)? else { return Ok(None) };
        match values.try_into() {
            Ok(array) => Ok(Some(array)),
            Err(values) => {
                Err(format!("attribute `{name}` is {values:?}, expected {N} number(s)",))
            }
        }
    }

    /// The real numbers of attribute `name`, which may be there, however many.
    ///
    /// # Errors
    /// Where one is NaN.
    pub fn find_reals(&self, name: &str) -> Result<Option<Vec<f32>>, String> {
        let Some(values) = self.values(name) else { return Ok(None) };
        if values.iter().any(|v| v.is_nan()) {
            return Err(format!("attribute `{name}` is {}, expected numbers", list(values)));
        }
        Ok(Some(values.iter().map(|&v| v as f32).collect()))
    }

    /// The integers of attribute `name`, however many.
    ///
    /// # Errors
    /// Where it is missing or a value does not fit.
    pub fn list<T: TryFrom<i64>>(&self, name: &str) -> Result<Vec<T>, String> {
        let values = self.values(name).ok_or_else(|| missing(name))?;
        integers(values).ok_or_else(|| format!("attribute `{name}` has a value out of range"))
    }

    fn values(&self, name: &str) -> Option<&[f64]> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice())
    }
}

fn missing(name: &str) -> String {
    format!("attribute `{name}` is missing")
}

fn integers<T: TryFrom<i64>>(values: &[f64]) -> Option<Vec<T>> {
    let integer =
        |&v: &f64| (v.fract() == 0.0).then_some(v as i64).and_then(|v| T::try_from(v).ok());
    values.iter().map(integer).collect()
}

/// Numbers as text, in as few digits as tell them from other f32; `[1,-inf,0.1]`.
pub(super) fn list(values: &[f64]) -> String {
    let text = |&v: &f64| match v as f32 {
        _ if v.fract() == 0.0 => format!("{v}"),
        narrow if f64::from(narrow) == v => format!("{narrow:?}"),
        _ => format!("{v:?}"),
    };
    format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(","))
}
