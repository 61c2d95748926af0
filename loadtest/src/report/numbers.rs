//! Numbers for people, each with its unit.

/// `1,234,567`
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds as `350 µs`, `8.4 ms` or `1.23 s`: three digits.
#[must_use]
pub fn duration_ms(ms: f64) -> String {
    match ms {
        ms if ms <= 0.0 => "0 ms".into(),
        ms if ms < 0.9995 => format!("{:.0} µs", ms * 1000.0),
        ms if ms < 999.5 => format!("{} ms", three_digits(ms)),
        ms => format!("{} s", three_digits(ms / 1000.0)),
    }
}

/// `3,750/s`, and below a hundred with a decimal.
#[must_use]
pub fn rate(per_s: f64) -> String {
    if per_s < 99.95 { format!("{per_s:.1}/s") } else { format!("{}/s", count(per_s.round() as u64)) }
}

/// `1.1 KiB`
#[must_use]
pub fn bytes(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{} {name}", three_digits(bytes as f64 / unit as f64)),
        None => format!("{bytes} B"),
    }
}

/// A fraction as `34 %`, and below ten with a decimal.
#[must_use]
pub fn share(fraction: f64) -> String {
    let percent = fraction * 100.0;
    if percent < 9.95 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

fn three_digits(number: f64) -> String {
    match number {
        number if number < 9.995 => format!("{number:.2}"),
        number if number < 99.95 => format!("{number:.1}"),
        number => count(number.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        let times = [0.0, 0.35, 1.0, 8.437, 15.25, 999.4, 1_230.0, 95_000.0, 3_600_000.0].map(duration_ms);
        let shown =
            ["0 ms", "350 µs", "1.00 ms", "8.44 ms", "15.2 ms", "999 ms", "1.23 s", "95.0 s", "3,600 s"];
        assert_eq!(times, shown);
        assert_eq!([0.5, 30.0, 3_749.6].map(rate), ["0.5/s", "30.0/s", "3,750/s"]);
        assert_eq!([10, 1_126, 20 << 20, 5 << 30].map(bytes), ["10 B", "1.10 KiB", "20.0 MiB", "5.00 GiB"]);
        assert_eq!([0.004, 0.34, 1.0].map(share), ["0.4 %", "34 %", "100 %"]);
    }
}
