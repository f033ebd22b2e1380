//! What became of an attempt, and what follows from it. Pure.

use crate::ids::Timestamp;

/// What is kept of an answer's body.
pub const EXCERPT_BYTES: usize = 1024;

/// A receiver's answer, or that there was none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: Option<u16>,
    /// From the first byte of the request, connecting included, to the last that was read of the answer.
    pub duration_ms: u64,
    /// Text, at most [`EXCERPT_BYTES`].
    pub excerpt: String,
    /// What went wrong, for people.
    pub error: Option<String>,
    /// What the receiver asked for.
    pub retry_after_ms: Option<i64>,
    /// There was no answer because it was not waited for any longer.
    pub has_timed_out: bool,
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Success,
    /// The endpoint is not there any more, and says so (410, Standard Webhooks).
    Gone,
    Failed,
}

impl Answer {
    #[must_use]
    pub fn failed(error: impl Into<String>, duration_ms: u64) -> Answer {
        Answer { error: Some(error.into()), duration_ms, ..Answer::default() }
    }

    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.status {
            Some(200..300) => Verdict::Success,
            Some(410) => Verdict::Gone,
            _ => Verdict::Failed,
        }
    }

    /// Why it counts as a failure, for people; `None`: it does not.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        if self.verdict() == Verdict::Success {
            return None;
        }
        match (&self.error, self.status) {
            (Some(error), _) => Some(error.clone()),
            (None, Some(status @ 300..400)) => Some(format!("the receiver answered {status}; redirects are not followed")),
            (None, Some(status)) => Some(format!("the receiver answered {status}")),
            (None, None) => Some("no answer".to_owned()),
        }
    }

    /// The receiver has too much to do, whichever event it is.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        matches!(self.status, Some(429 | 503))
    }
}

/// How long to wait, by a `Retry-After` of 429 or 503: seconds, or a date (RFC 9110, 10.2.3).
#[must_use]
pub fn retry_after_ms(text: &str, now: Timestamp) -> Option<i64> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse::<i64>().unwrap_or(i64::MAX).saturating_mul(1000));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(date.as_millisecond().saturating_sub(now.0).max(0))
}

/// The beginning of a body, as text; control characters are left out.
#[must_use]
pub fn excerpt(body: &[u8]) -> String {
    let cut = body.get(..EXCERPT_BYTES).unwrap_or(body);
    let text = String::from_utf8_lossy(cut);
    let mut text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    // Bytes that are no text take three each as the character that stands for them.
    while text.len() > EXCERPT_BYTES {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> Answer {
        Answer { status: Some(status), ..Answer::default() }
    }

    #[test]
    fn only_2xx_is_success_and_only_410_is_the_end() {
        for (status, verdict) in [
            (200, Verdict::Success),
            (204, Verdict::Success),
            (299, Verdict::Success),
            (301, Verdict::Failed),
            (304, Verdict::Failed),
            (404, Verdict::Failed),
            (410, Verdict::Gone),
            (429, Verdict::Failed),
            (500, Verdict::Failed),
        ] {
            assert_eq!(answered(status).verdict(), verdict, "{status}");
        }
        assert_eq!(Answer::failed("no", 1).verdict(), Verdict::Failed);
        assert!(answered(302).reason().is_some_and(|reason| reason.contains("redirects are not followed")));
        assert_eq!(answered(200).reason(), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // 2015-10-21T07:28:00Z.
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        let now = Timestamp(1_445_412_480_000 - 5000);
        for (text, expected) in [
            ("0", Some(0)),
            (" 120 ", Some(120_000)),
            ("99999999999999999999", Some(i64::MAX)),
            (date, Some(5000)),
            ("", None),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after_ms(text, now), expected, "{text:?}");
        }
        assert_eq!(retry_after_ms(date, now.plus_ms(10_000)), Some(0));
    }

    #[test]
    fn an_excerpt_is_short_text() {
        assert_eq!(excerpt(b"a\x00b\nc"), "ab\nc");
        assert!(excerpt(&[0xff; 5000]).len() <= EXCERPT_BYTES);
        assert_eq!(excerpt(&[b'x'; 5000]).len(), EXCERPT_BYTES);
    }
}
