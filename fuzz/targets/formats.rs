//! What must hold of any schema and any value.

use crate::schema::format::{Format, Parsed};

/// `data`: a schema, a zero byte, another schema, a zero byte, a value. No panic, no stall (run.sh limits time and memory of each input), and:
/// a text that was taken is taken again as it is stored, and means the same; a schema reads what it wrote itself.
pub fn hold(format: Format, data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let mut next = || parts.next().unwrap_or_default();
    let (first, second, value) = (next(), next(), next());
    let parse = |bytes| Parsed::parse(format, std::str::from_utf8(bytes).ok()?, &[]).ok();
    let Some(first) = parse(first) else { return };
    let stored = Parsed::parse(format, first.stored_text(), &[]).expect("what is stored can be read");
    assert_eq!(stored.canonical(), first.canonical(), "what is stored means the same");
    let normalized = Parsed::parse(format, &first.normalized(), &[]).expect("what is normalized can be read");
    assert_eq!(normalized.normalized(), first.normalized(), "normalizing twice changes nothing");
    let itself = first.incompatibilities(&stored);
    let is_bounded = itself.iter().all(|one| one.message.contains("too"));
    assert!(itself.is_empty() || is_bounded, "it cannot read itself: {itself:?}");
    let _ = first.check_value(value);
    if let Some(second) = parse(second) {
        let _ = first.incompatibilities(&second);
        let _ = second.check_value(value);
    }
}
