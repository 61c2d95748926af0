//! Quantities with their units, as people write them: `25s`, `2KiB`, `50/s`, `10%`.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Something that is written in one form, named for help and errors.
pub trait Form {
    /// The name of the form on the command line.
    const FORM: &'static str;
}

/// A length of time: `25s`, `500ms`, `1m 30s`, `8h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A number of bytes: `200B`, `2KiB`, `1MiB`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// How often: `50/s`, `200/min`, `1/h`; `0/s` is never.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    count: f64,
    per: Per,
}

/// A part of a whole: `0%` to `100%`.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Share {
    percent: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
    Hour,
}

/// A text that is no such quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is no {what}: write {form}")]
pub struct UnitError {
    found: String,
    what: &'static str,
    form: &'static str,
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// A span of so many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Whether it is no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl Rate {
    /// Never.
    pub const ZERO: Self = Self::per_second(0.0);

    /// So often in a second.
    #[must_use]
    pub const fn per_second(count: f64) -> Self {
        Self { count, per: Per::Second }
    }

    /// So often in a minute.
    #[must_use]
    pub const fn per_minute(count: f64) -> Self {
        Self { count, per: Per::Minute }
    }

    /// Events in a second.
    #[must_use]
    pub fn hertz(self) -> f64 {
        self.count / self.per.seconds()
    }

    /// Whether it is never.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.count == 0.0
    }
}

impl Share {
    /// Nothing of it.
    pub const NONE: Self = Self::percent(0.0);

    /// All of it.
    pub const ALL: Self = Self::percent(100.0);

    /// So many of a hundred; the caller keeps to 0 to 100.
    #[must_use]
    pub const fn percent(percent: f64) -> Self {
        Self { percent }
    }

    /// Between 0 and 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        self.percent / 100.0
    }

    /// This share of `whole`, rounded.
    #[must_use]
    pub fn of(self, whole: u64) -> u64 {
        (whole as f64 * self.fraction()).round() as u64
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.percent == 0.0
    }
}

impl Per {
    const ALL: [(&'static str, Self); 6] = [
        ("s", Self::Second),
        ("sec", Self::Second),
        ("min", Self::Minute),
        ("m", Self::Minute),
        ("h", Self::Hour),
        ("hour", Self::Hour),
    ];

    fn seconds(self) -> f64 {
        match self {
            Self::Second => 1.0,
            Self::Minute => 60.0,
            Self::Hour => 3600.0,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
        }
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        humantime::parse_duration(text.trim()).map(Self).map_err(|_| wrong::<Self>(text))
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text);
        let factor = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            _ => return Err(wrong::<Self>(text)),
        };
        let number: u64 = number.parse().map_err(|_| wrong::<Self>(text))?;
        number.checked_mul(factor).map(Self).ok_or_else(|| wrong::<Self>(text))
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (count, per) = text.split_once('/').ok_or_else(|| wrong::<Self>(text))?;
        let count = number(count).ok_or_else(|| wrong::<Self>(text))?;
        let per = Per::ALL.into_iter().find(|(name, _)| *name == per.trim());
        let (_, per) = per.ok_or_else(|| wrong::<Self>(text))?;
        Ok(Self { count, per })
    }
}

impl FromStr for Share {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let percent = text.trim().strip_suffix('%').and_then(number);
        let percent = percent.filter(|percent| *percent <= 100.0);
        percent.map(|percent| Self { percent }).ok_or_else(|| wrong::<Self>(text))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), u64::from(self.0.subsec_nanos()));
        let parts = [
            (seconds / 3600, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (nanos / 1_000_000, "ms"),
            (nanos / 1_000 % 1_000, "us"),
            (nanos % 1_000, "ns"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let texts: Vec<String> = parts.map(|(count, unit)| format!("{count}{unit}")).collect();
        f.write_str(if texts.is_empty() { "0s".into() } else { texts.join(" ") }.as_str())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        let whole = units.into_iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = whole.unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per.name())
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.percent)
    }
}

/// What errors call a quantity, and the forms they offer.
trait Quantity {
    const WHAT: &'static str;
    const EXAMPLES: &'static str;
}

impl Quantity for Span {
    const WHAT: &'static str = "duration";
    const EXAMPLES: &'static str = "a number and a unit, such as \"25s\", \"500ms\" or \"1h\"";
}

impl Quantity for Size {
    const WHAT: &'static str = "size";
    const EXAMPLES: &'static str = "a whole number and a unit, such as \"200B\", \"2KiB\" or \"1MiB\"";
}

impl Quantity for Rate {
    const WHAT: &'static str = "rate";
    const EXAMPLES: &'static str = "a number and what it is per, such as \"50/s\", \"200/min\" or \"1/h\"";
}

impl Quantity for Share {
    const WHAT: &'static str = "share";
    const EXAMPLES: &'static str = "\"0%\" to \"100%\"";
}

impl Form for Span {
    const FORM: &'static str = "DURATION";
}

impl Form for Size {
    const FORM: &'static str = "SIZE";
}

impl Form for Rate {
    const FORM: &'static str = "RATE";
}

impl Form for Share {
    const FORM: &'static str = "PERCENT";
}

impl Form for u32 {
    const FORM: &'static str = "NUMBER";
}

/// Reads a quantity from its text, and says the form where a file has something else.
struct TextOf<Q>(PhantomData<Q>);

impl<Q: Quantity + FromStr<Err = UnitError>> Visitor<'_> for TextOf<Q> {
    type Value = Q;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {}: {}", Q::WHAT, Q::EXAMPLES)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Q, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! written_as_text {
    ($($Type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $Type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(TextOf(PhantomData))
            }
        }

        impl Serialize for $Type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

written_as_text!(Span, Size, Rate, Share);

fn wrong<Q: Quantity>(found: &str) -> UnitError {
    UnitError { found: format!("`{found}`"), what: Q::WHAT, form: Q::EXAMPLES }
}

/// A number and the unit behind it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// A finite number that is not negative.
fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_are_read_as_people_write_them() {
        assert_eq!("1m 30s".parse(), Ok(Span::from_secs(90)));
        assert_eq!("2KiB".parse(), Ok(Size(2048)));
        assert_eq!("2 kB".parse(), Ok(Size(2000)));
        assert_eq!("50/s".parse::<Rate>().unwrap().hertz(), 50.0);
        assert_eq!("30 / min".parse::<Rate>().unwrap().hertz(), 0.5);
        assert_eq!("12.5%".parse::<Share>().unwrap().of(1000), 125);
    }

    #[test]
    fn whoever_forgets_the_unit_is_told_the_form() {
        let words = |error: UnitError| error.to_string();
        assert_eq!(
            words("25".parse::<Span>().unwrap_err()),
            "`25` is no duration: write a number and a unit, such as \"25s\", \"500ms\" or \"1h\""
        );
        assert!(words("2k".parse::<Size>().unwrap_err()).contains("no size"));
        assert!(words("50".parse::<Rate>().unwrap_err()).contains("50/s"));
        assert!(words("50/fortnight".parse::<Rate>().unwrap_err()).contains("200/min"));
        assert!(words("-1/s".parse::<Rate>().unwrap_err()).contains("no rate"));
        assert!(words("101%".parse::<Share>().unwrap_err()).contains("0%"));
        assert!(words("NaN%".parse::<Share>().unwrap_err()).contains("no share"));
        assert!("99999999999999GiB".parse::<Size>().is_err(), "more than a number holds");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(nanos in 0u64..1 << 60, bytes: u64, count in 0.0..1e6, percent in 0.0..100.0) {
            let span = Span(Duration::from_nanos(nanos));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
            for per in [Per::Second, Per::Minute, Per::Hour] {
                let rate = Rate { count, per };
                prop_assert_eq!(rate.to_string().parse(), Ok(rate));
            }
            let share = Share { percent };
            prop_assert_eq!(share.to_string().parse(), Ok(share));
        }
    }
}
