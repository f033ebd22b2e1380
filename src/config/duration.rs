//! Durations as Java's `Duration.parse` reads them: ISO 8601, `P1DT2H3M4.5S`, days to seconds, each with a sign of its own.

/// Milliseconds in the duration `text`, a part of one rounded up; negative ones too. `None`: not a duration, or one of more seconds than
/// 64 bits count. What has more milliseconds than that comes to as many as there are.
#[must_use]
pub fn parse_ms(text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    let (is_negated, rest) = signed(&text);
    let rest = rest.strip_prefix('P')?;
    let (date, time) = rest.split_once('T').map_or((rest, None), |(date, time)| (date, Some(time)));
    if rest.is_empty() || time == Some("") {
        return None;
    }
    let mut seconds = 0_i64;
    let date = section(date, 'D', 86_400, &mut seconds)?;
    let mut nanoseconds = 0_i64;
    let time = section(time.unwrap_or_default(), 'H', 3_600, &mut seconds)?;
    let time = section(time, 'M', 60, &mut seconds)?;
    if !time.is_empty() {
        let number = time.strip_suffix('S')?;
        let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, ""));
        seconds = seconds.checked_add(integer(whole)?)?;
        nanoseconds = nanoseconds_of(fraction)?;
        if whole.starts_with('-') {
            nanoseconds = -nanoseconds;
        }
    }
    if !date.is_empty() {
        return None;
    }
    if is_negated {
        (seconds, nanoseconds) = (seconds.checked_neg()?, -nanoseconds);
    }
    let milliseconds = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds) + 999_999;
    let milliseconds = milliseconds.div_euclid(1_000_000);
    Some(i64::try_from(milliseconds).unwrap_or(if milliseconds < 0 { i64::MIN } else { i64::MAX }))
}

/// Adds what stands before `unit`, if it is there; answers what stands behind it.
fn section<'a>(text: &'a str, unit: char, unit_seconds: i64, seconds: &mut i64) -> Option<&'a str> {
    let Some((number, rest)) = text.split_once(unit) else { return Some(text) };
    *seconds = seconds.checked_add(integer(number)?.checked_mul(unit_seconds)?)?;
    Some(rest)
}

fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Digits, with or without a sign.
fn integer(text: &str) -> Option<i64> {
    let (_, digits) = signed(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Up to nine digits behind a point.
fn nanoseconds_of(fraction: &str) -> Option<i64> {
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<9}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_java_refuses_is_none() {
        let refused = [
            "",
            "P",
            "PT",
            "P1",
            "1D",
            "P1DT",
            "PT1",
            "PT1D",
            "P1H",
            "PT1S1H",
            "PT.5S",
            "PT1.0000000001S",
            "P1.5D",
            "PT1M ",
            "P1Y",
        ];
        for text in refused {
            assert_eq!(parse_ms(text), None, "{text:?}");
        }
        assert_eq!(parse_ms("P9223372036854775807D"), None, "more seconds than 64 bits count");
        assert_eq!(parse_ms("PT9223372036854775808S"), None);
    }

    #[test]
    fn durations_are_read_as_java_reads_them() {
        let read = [
            ("P1D", 86_400_000),
            ("pt1h30m", 5_400_000),
            ("P2DT3H4M5.25S", 183_845_250),
            ("PT1,5S", 1_500),
            ("PT1.S", 1_000),
            ("PT-1.5S", -1_500),
            ("-PT-6H3M", 21_420_000),
            ("PT0S", 0),
            ("PT0.000001S", 1),
            ("+P+1DT-1H", 82_800_000),
            ("PT9223372036854775807S", i64::MAX),
        ];
        for (text, ms) in read {
            assert_eq!(parse_ms(text), Some(ms), "{text}");
        }
    }
}
