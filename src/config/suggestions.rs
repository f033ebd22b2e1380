//! "Did you mean": the candidate that is nearest to a name that does not exist.

/// Longer than any candidate, mistyped: comparing takes time by the product of both lengths, and a client chooses the name's.
const NAME_BYTES_MAX: usize = 128;

/// The candidate nearest to `name`, if one is near enough to be what was meant.
///
/// A name without its first part counts as the whole: `node_id` suggests `server.node_id`. Distance is Damerau and Levenshtein's: letters
/// added, dropped, changed or swapped. Names of more than [`NAME_BYTES_MAX`] bytes are like nothing.
#[must_use]
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let wanted = normalised(name);
    let (distance, nearest) = candidates
        .into_iter()
        .map(|candidate| (distance(&wanted, candidate), candidate))
        // The first of several equally near ones, so that the order of a table decides and not chance.
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= wanted.chars().count().div_ceil(3)).then_some(nearest)
}

/// The end of an error message about an unknown name: `; did you mean x?`, or nothing.
#[must_use]
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    suggest(name, candidates).map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default()
}

fn distance(wanted: &str, candidate: &str) -> usize {
    let candidate = normalised(candidate);
    let whole = strsim::damerau_levenshtein(wanted, &candidate);
    let without_section =
        candidate.split_once('.').filter(|_| !wanted.contains('.')).map(|(_, key)| strsim::damerau_levenshtein(wanted, key));
    without_section.map_or(whole, |part| whole.min(part))
}

/// Case and the choice between `-` and `_` are never what was mistyped.
fn normalised(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}
