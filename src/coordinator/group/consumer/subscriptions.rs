//! What members subscribe to: names, and regular expressions that the server resolves (KIP-848).
//!
//! Expressions have RE2's syntax and match whole names, in time linear in the name's length. They are resolved again whenever the
//! catalog has changed since they last were, at the next heartbeat of any member, but not more often than [`REFRESH_MS_MIN`]; and every
//! `group.consumer.regex.refresh.interval.ms` anyway. Kafka's own resolver runs at most every ten seconds (REGEX_BATCH_REFRESH_MIN_INTERVAL_MS).
//!
//! Source: GroupMetadataManager.maybeUpdateRegularExpressions, TopicRegexResolver; ModernGroup.computeMetadataHash.

use super::{Change, ConsumerGroup, Member};
use crate::catalog::Snapshot;
use crate::coordinator::group::messages::NAME_BYTES_MAX;
use crate::coordinator::group::records::consumer::{ConsumerRecord, EpochValue, MemberMetadata, ResolvedRegex};
use crate::ids::TopicId;
use regex::{Regex, RegexBuilder};
use std::collections::BTreeSet;

/// Between two resolutions of what is resolved already.
const REFRESH_MS_MIN: i64 = 1_000;
/// What a compiled expression may weigh: a member cannot make the server spend more.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// The longest expression: the library's own limit counts only what is left of it when it has been read.
const PATTERN_BYTES_MAX: usize = NAME_BYTES_MAX;

/// Compiles an expression that matches whole names.
///
/// # Errors
/// What is wrong with it.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    compile_within(pattern, COMPILED_BYTES_MAX)
}

/// As [`compile`], for an expression that may weigh so much.
///
/// # Errors
/// What is wrong with it.
pub fn compile_within(pattern: &str, compiled_bytes_max: usize) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("it has {} bytes; the most is {PATTERN_BYTES_MAX}", pattern.len()));
    }
    let build =
        |pattern: &str| RegexBuilder::new(pattern).size_limit(compiled_bytes_max).dfa_size_limit(compiled_bytes_max).build();
    let pattern = &translated(pattern);
    // By itself too: `a)(?:b` must not become right by what we put around it.
    build(pattern).and_then(|_| build(&format!(r"\A(?:{pattern})\z"))).map_err(|error| error.to_string())
}

/// `pattern` as the library has it. What stands between `\Q` and `\E`, or the end, is escaped instead: RE2 has this, as Java's `Pattern.quote` writes it. And `\d`
/// and `\w` are of ASCII, as in RE2 and as names of topics are: here they are of Unicode, and so much larger that `\w{1,100}` would be refused for its size.
fn translated(pattern: &str) -> String {
    let mut plain = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut is_in_class = false;
    while let Some(first) = rest.chars().next() {
        if !is_in_class && let Some(quoted) = rest.strip_prefix(r"\Q") {
            let (literal, behind) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            plain.push_str(&regex::escape(literal));
            rest = behind;
            continue;
        }
        is_in_class = match first {
            '[' => true,
            ']' => false,
            _ => is_in_class,
        };
        // What is escaped says nothing.
        let escaped = rest.strip_prefix('\\').and_then(|escaped| escaped.chars().next());
        let (taken, behind) = rest.split_at(first.len_utf8() + escaped.map_or(0, char::len_utf8));
        // A class is no end of a range: what stands there is left to be refused.
        let is_range = is_in_class && plain.ends_with('-') && !plain.ends_with("[-") && !plain.ends_with("[^-");
        plain.push_str(match escaped.filter(|_| !is_range) {
            Some('d') => "[0-9]",
            Some('D') => "[^0-9]",
            Some('w') => "[0-9A-Za-z_]",
            Some('W') => "[^0-9A-Za-z_]",
            _ => taken,
        });
        rest = behind;
    }
    plain
}

fn resolve(pattern: &str, catalog: &Snapshot) -> BTreeSet<String> {
    // It compiled when a member brought it; a log of another version may hold one that does not, which matches nothing.
    let Ok(regex) = compile(pattern) else { return BTreeSet::new() };
    catalog.topics.keys().filter(|name| regex.is_match(name)).cloned().collect()
}

impl MemberMetadata {
    /// The expression that the member subscribes by; an empty one is none.
    #[must_use]
    pub fn subscribed_regex(&self) -> Option<&str> {
        self.regex.as_deref().filter(|regex| !regex.is_empty())
    }
}

impl ConsumerGroup {
    /// The existing topics that `member` subscribes to.
    #[must_use]
    pub(super) fn topics_of(&self, member: &Member, catalog: &Snapshot) -> BTreeSet<TopicId> {
        let resolved = member.metadata.subscribed_regex().and_then(|regex| self.regexes.get(regex));
        let names = member.metadata.topics.iter().chain(resolved.into_iter().flat_map(|resolved| &resolved.topics));
        names.filter_map(|name| catalog.topics.get(name)).map(|topic| topic.id).collect()
    }

    fn has_subscriber(&self, regex: &str) -> bool {
        self.members.values().any(|member| member.metadata.subscribed_regex() == Some(regex))
    }

    /// What the topics look like that the members subscribe to ([`metadata_hash`]).
    #[must_use]
    pub fn hash(&self, catalog: &Snapshot) -> i64 {
        let own = self.members.values().flat_map(|member| &member.metadata.topics);
        let matched = self.regexes.values().flat_map(|resolved| &resolved.topics);
        metadata_hash(own.chain(matched).collect(), catalog)
    }
}

/// Changes when a topic of these names comes, goes or grows. Of the topics by name: id and number of partitions (FNV-1a, 64 bits).
pub fn metadata_hash(names: BTreeSet<&String>, catalog: &Snapshot) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut is_any = false;
    for topic in names.into_iter().filter_map(|name| catalog.topics.get(name)) {
        is_any = true;
        for byte in topic.id.0.as_bytes().iter().copied().chain(topic.logs.len().to_be_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    if is_any { hash.cast_signed() } else { 0 }
}

impl Change<'_, '_> {
    /// Brings expressions and topics up to date with members and catalog. `has_changed`: a member's subscription has. Bumps the group's
    /// epoch if anything is now different.
    pub(super) fn refresh(&mut self, has_changed: bool) {
        let is_new_catalog = self.soft.seen_version != Some(self.catalog.version);
        let resolved = self.refresh_regexes(is_new_catalog);
        let bump = has_changed || resolved.is_different;
        if !bump && !is_new_catalog {
            return;
        }
        // Too soon for the expressions: the catalog stays new, for a later heartbeat.
        self.soft.seen_version = Some(self.catalog.version).filter(|_| !resolved.is_too_soon);
        let metadata_hash = self.group.hash(self.catalog);
        if bump || metadata_hash != self.group.metadata_hash {
            self.bump_epoch(metadata_hash);
        }
    }

    /// Members have gone: the epoch moves on, whatever the topics.
    pub(super) fn refresh_without_members(&mut self) {
        self.drop_unused_regexes();
        let metadata_hash = self.group.hash(self.catalog);
        self.bump_epoch(metadata_hash);
    }

    fn bump_epoch(&mut self, metadata_hash: i64) {
        // A group that changes a thousand times a second gets there after 24 days; it then stands still, and can be deleted.
        let epoch = self.group.epoch.saturating_add(1);
        self.write(ConsumerRecord::Epoch(Some(EpochValue { epoch, metadata_hash })));
    }

    fn drop_unused_regexes(&mut self) {
        let unused: Vec<String> = self.group.regexes.keys().filter(|regex| !self.group.has_subscriber(regex)).cloned().collect();
        for regex in unused {
            self.write(ConsumerRecord::Regex { regex, value: None });
        }
    }

    fn refresh_regexes(&mut self, is_new_catalog: bool) -> Resolved {
        self.drop_unused_regexes();
        let wanted = self.group.members.values().filter_map(|member| member.metadata.subscribed_regex());
        let wanted: BTreeSet<&str> = wanted.collect();
        if wanted.is_empty() {
            return Resolved::default();
        }
        let now = self.ctx.now;
        // A clock that was set back would have it wait for that long: then it is due as well.
        let age_ms = self.soft.resolved_at.map(|at| now.ms_since(at)).filter(|age_ms| *age_ms >= 0).unwrap_or(i64::MAX);
        let is_due = age_ms >= self.ctx.settings.regex_refresh_interval_ms || (is_new_catalog && age_ms >= REFRESH_MS_MIN);
        if is_due {
            self.soft.resolved_at = Some(now);
        }
        let mut resolved = Resolved { is_different: false, is_too_soon: is_new_catalog && !is_due };
        let stale = wanted.into_iter().filter(|regex| is_due || !self.group.regexes.contains_key(*regex));
        let stale: Vec<String> = stale.map(str::to_owned).collect();
        for regex in stale {
            let known = self.group.regexes.get(&regex);
            let topics = resolve(&regex, self.catalog);
            if known.is_some_and(|known| known.topics == topics) {
                continue;
            }
            if known.is_some() || !topics.is_empty() {
                resolved.is_different = true;
            }
            let version = i64::try_from(self.catalog.version).unwrap_or(i64::MAX);
            self.write(ConsumerRecord::Regex { regex, value: Some(ResolvedRegex { topics, version, time: now }) });
        }
        resolved
    }
}

/// What looking at the expressions came to.
#[derive(Debug, Clone, Copy, Default)]
struct Resolved {
    /// One matches other topics than before.
    is_different: bool,
    /// The catalog is new, and those that are known were resolved only just before. One that is new is resolved all the same.
    is_too_soon: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_parts_are_literal_as_in_re2() {
        let cases = [
            (r"\Qorders.eu.\E.*", "orders.eu.x", true),
            (r"\Qorders.eu.\E.*", "orders-eu-x", false),
            (r"a\Q.+", "a.+", true),
            (r"a\Q.+", "abb", false),
            (r"\Q\E", "", true),
            (r"\Qa\E|\Qb[\E", "b[", true),
            // Of what is repeated only the last letter is quoted.
            (r"\Qa.\E+", "a..", true),
            (r"\Qa.\E+", "a.a.", false),
            (r"[\]Q]\Q]\E", "Q]", true),
            (r"\\Q", r"\Q", true),
            (r"\\\Q.\E", r"\.", true),
        ];
        for (pattern, name, is_match) in cases {
            assert_eq!(compile(pattern).map(|regex| regex.is_match(name)), Ok(is_match), "{pattern} {name}");
        }
        for wrong in [r"a\E", r"[\Qa\E]", "\\", "["] {
            assert!(compile(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn classes_are_of_ascii_and_may_be_repeated() {
        let cases = [
            (r"[\w.-]{1,249}", "Orders_eu.v-1", true),
            (r"[\w.-]{1,249}", "orders/eu", false),
            (r"tenant-\w{1,100}", "tenant-a1", true),
            (r"tenant-\w{1,100}", "tenant-", false),
            (r"t\d+\D", "t12x", true),
            (r"t\d+\D", "t123", false),
            (r"a\Wb", "a.b", true),
            (r"[^\w]", "-", true),
            (r"[^\w]", "a", false),
            (r"\\w", r"\w", true),
            (r"\Q\w\E", r"\w", true),
            (r"[-\w]", "-", true),
            (r"[^-\w]", "a", false),
        ];
        for (pattern, name, is_match) in cases {
            assert_eq!(compile(pattern).map(|regex| regex.is_match(name)), Ok(is_match), "{pattern} {name}");
        }
        for wrong in [r"[.-\w]+", r"[!-\d]", r"[a-\w]"] {
            assert!(compile(wrong).is_err(), "{wrong}");
        }
    }
}
