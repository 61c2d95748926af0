//! What a run is held to: `--expect 'p99<50ms'`, `--expect 'lost=0'`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::nearest::nearest;
use crate::report::{Figure, Metric, RunResult, Unit, bytes, count, duration_ms, metrics, rate, share};

/// A figure of the result, compared with a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    metric: Metric,
    comparison: Comparison,
    /// In the unit of the metric.
    value: f64,
    /// As it was written.
    text: String,
}

/// How a figure has to compare with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    Unequal,
}

/// A text that is no expectation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpectError {
    /// It has no operator.
    #[error(
        "`{0}` is no expectation: write a name, one of < <= > >= = !=, and a value, such as 'p99<50ms' or 'lost=0'"
    )]
    Form(String),
    /// There is no figure of this name.
    #[error("there is no figure `{name}`{}", .meant.as_ref().map_or(String::new(), |meant| format!(": did you mean `{meant}`?")))]
    UnknownName {
        /// What was written.
        name: String,
        /// What may have been meant.
        meant: Option<String>,
    },
    /// The value is none of this figure's.
    #[error("`{value}` is no value of `{name}`: write {form}")]
    Value {
        /// The figure.
        name: String,
        /// What was written.
        value: String,
        /// How it is written.
        form: &'static str,
    },
}

/// What became of an expectation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// As it was written.
    pub expectation: String,
    /// The figure, for people.
    pub found: String,
    /// Whether it is as expected; false also if there was nothing to measure, or the load generator was the
    /// limit.
    pub met: bool,
}

impl Expectation {
    /// Whether a run is as expected.
    #[must_use]
    pub fn judge(&self, run: &RunResult) -> Outcome {
        let (found, met) = match run.figure(&self.metric.name) {
            Some(Figure::Is(figure)) => {
                (self.metric.unit.show(figure), self.comparison.holds(figure, self.value))
            }
            Some(Figure::NotMeasured(why)) => (format!("not measured: {why}"), false),
            None => ("no such figure".into(), false),
        };
        Outcome { expectation: self.text.clone(), found, met }
    }
}

impl Outcome {
    /// Whether it is as expected.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.met
    }
}

impl FromStr for Expectation {
    type Err = ExpectError;

    fn from_str(text: &str) -> Result<Self, ExpectError> {
        let form = || ExpectError::Form(text.into());
        let place = text.find(['<', '>', '=', '!']).ok_or_else(form)?;
        let (name, rest) = (text[..place].trim(), &text[place..]);
        let find = |(sign, comparison): &(&str, Comparison)| Some((*comparison, rest.strip_prefix(sign)?));
        let (comparison, value) = COMPARISONS.iter().find_map(find).ok_or_else(form)?;
        let value = value.trim();
        if name.is_empty() || value.is_empty() {
            return Err(form());
        }
        let metrics = metrics();
        let Some(metric) = metrics.iter().find(|metric| metric.name == name) else {
            let known = metrics.iter().map(|metric| metric.name.as_str());
            return Err(ExpectError::UnknownName {
                name: name.into(),
                meant: nearest(name, known).map(String::from),
            });
        };
        let (metric, text) = (metric.clone(), text.trim().to_owned());
        match metric.unit.read(value) {
            Some(value) => Ok(Self { metric, comparison, value, text }),
            None => {
                Err(ExpectError::Value { name: name.into(), value: value.into(), form: metric.unit.form() })
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.met { "met" } else { "MISSED" };
        write!(f, "{verdict:<7} {}: {}", self.expectation, self.found)
    }
}

impl Comparison {
    fn holds(self, figure: f64, value: f64) -> bool {
        match self {
            Self::Less => figure < value,
            Self::AtMost => figure <= value,
            Self::More => figure > value,
            Self::AtLeast => figure >= value,
            Self::Equal => figure == value,
            Self::Unequal => figure != value,
        }
    }
}

impl Unit {
    /// How a value is written.
    #[must_use]
    pub fn form(self) -> &'static str {
        match self {
            Self::Count => "a whole number, such as 0 or 1000",
            Self::Time => "a time with its unit, such as 50ms, 350us or 1.5s",
            Self::Rate => "a rate, such as 1000/s",
            Self::Bytes => "a size with its unit, such as 2KiB",
            Self::Share => "a share, such as 90%",
        }
    }

    fn read(self, text: &str) -> Option<f64> {
        let units: &[(&str, f64)] = match self {
            Self::Count => return text.parse::<u64>().ok().map(|number| number as f64),
            Self::Time => &[("ms", 1.0), ("us", 0.001), ("µs", 0.001), ("s", 1000.0), ("m", 60_000.0)],
            Self::Rate => &[("/s", 1.0), ("/min", 1.0 / 60.0)],
            Self::Bytes => &[("GiB", 1_073_741_824.0), ("MiB", 1_048_576.0), ("KiB", 1024.0), ("B", 1.0)],
            Self::Share => &[("%", 0.01)],
        };
        let (number, factor) =
            units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
        let number: f64 = number.trim_end().parse().ok()?;
        (number.is_finite() && number >= 0.0).then_some(number * factor)
    }

    fn show(self, figure: f64) -> String {
        match self {
            Self::Count => count(figure as u64),
            Self::Time => duration_ms(figure),
            Self::Rate => rate(figure),
            Self::Bytes => bytes(figure as u64),
            Self::Share => share(figure),
        }
    }
}

/// The longer ones first.
const COMPARISONS: &[(&str, Comparison)] = &[
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("!=", Comparison::Unequal),
    ("==", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::More),
    ("=", Comparison::Equal),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    fn judge(text: &str) -> Outcome {
        text.parse::<Expectation>().unwrap().judge(&example())
    }

    fn error(text: &str) -> String {
        text.parse::<Expectation>().unwrap_err().to_string()
    }

    #[test]
    fn expectations_are_judged_by_the_figures_of_the_result() {
        // p99 is 7.6 ms, there are 112,500 deliveries, 3,750 in a second.
        for (text, met) in [
            ("p99<50ms", true),
            ("p99 < 7.6ms", false),
            ("p99<=7.6ms", true),
            ("ack.p99<=20ms", true),
            ("p99>0.005s", true),
            ("p50<2000us", true),
            ("lost=0", true),
            ("lost==0", true),
            ("lost!=0", false),
            ("deliveries>1000", true),
            ("deliveries>=112501", false),
            ("deliveries_per_s>=3750/s", true),
            ("memory_per_socket<=2KiB", true),
            ("cpu_share_max<30%", false),
            ("sockets>=1000", true),
        ] {
            assert_eq!(judge(text).is_met(), met, "{text}");
        }
        assert_eq!(judge("p99<50ms").found, "7.60 ms");
        assert_eq!(judge("cpu_share_max<30%").to_string(), "MISSED  cpu_share_max<30%: 34 %");
    }

    #[test]
    fn what_was_not_measured_is_missed() {
        let outcome = judge("resume.p99<1s");
        assert!(!outcome.is_met());
        assert_eq!(outcome.found, "not measured: there was nothing to measure");
        let mut run = example();
        run.tool.limit = Some(crate::latency::Limit { reasons: vec!["it was busy".into()] });
        let outcome = "p99<1h".replace("1h", "100s").parse::<Expectation>().unwrap().judge(&run);
        assert!(!outcome.is_met());
        assert!(outcome.found.contains("the load generator was the limit"), "{outcome}");
    }

    #[test]
    fn a_bad_one_is_told_what_is_wrong_with_it() {
        assert!(error("p99").contains("is no expectation: write a name, one of < <= > >= = !="));
        for text in ["<5ms", "p99<", "p99!5ms", "", "="] {
            assert!(error(text).contains("is no expectation"), "{text}");
        }
        assert_eq!(error("deliverys>5"), "there is no figure `deliverys`: did you mean `deliveries`?");
        assert_eq!(error("ack.p98<5ms"), "there is no figure `ack.p98`: did you mean `ack.p99`?");
        assert_eq!(error("zzzz=5"), "there is no figure `zzzz`");
        assert_eq!(
            error("p99<50"),
            "`50` is no value of `p99`: write a time with its unit, such as 50ms, 350us or 1.5s"
        );
        for text in [
            "lost=0ms",
            "lost=-1",
            "p99<fast",
            "p99<-5ms",
            "memory_per_socket<2",
            "cpu_share_max<0.5",
            "sends_per_s>5",
        ] {
            assert!(error(text).contains("is no value of"), "{text}");
        }
    }
}
