//! Whether a new schema accepts all that an old one does, by the rules of Confluent's registry and under their names.
//!
//! Both schemas are walked together, through `$ref`s too. Only what breaks is reported: what Confluent reports as a compatible difference (a
//! title that changed, an enum with more values) is no difference here. As there, `if`, `format`, `contains` and `propertyNames` are not
//! compared.
//!
//! A pair of places that is being compared already counts as compatible where it comes up again, so that recursive schemas end; pairs that
//! were found compatible are not compared again. Work, depth and results are bounded: beyond, the rule is `TOO_COMPLEX`.

mod arrays;
mod combined;
mod objects;
mod place;
mod scalars;
mod shape;
#[cfg(test)]
mod tests;

use super::documents::Documents;
use crate::schema::format::{Incompatibility, InvalidSchema};
use place::Place;
use regex::{Regex, RegexBuilder};
use shape::{Kind, Part, Shape};
use std::collections::{HashMap, HashSet};

const FOUND_MAX: usize = 100;
/// Pairs of places, properties, values and parts that are looked at.
const STEPS_MAX: usize = 250_000;
/// Pairs inside of pairs: so many recursions are on the stack.
const DEPTH_MAX: usize = 100;
/// Compiling a pattern is as much work as so many pairs.
const STEPS_PER_PATTERN: usize = 50;
const PATTERN_BYTES_MAX: usize = 256 << 10;
/// Of names and values that are looked through.
const BYTES_PER_STEP: usize = 64;

/// Why `new` does not accept all that `old` does.
pub(super) fn compare(old: &Documents, new: &Documents) -> Result<Vec<Incompatibility>, InvalidSchema> {
    let (old_registry, new_registry) = (old.registry()?, new.registry()?);
    let mut walk = Walk::default();
    walk.places(&Place::root(old, &old_registry)?, &Place::root(new, &new_registry)?, "#");
    if let Some(why) = walk.too_complex {
        walk.found.truncate(FOUND_MAX - 1);
        walk.found.push(too_complex("#", why));
    }
    Ok(walk.found)
}

/// That no answer was found in the time that there is.
pub(super) fn too_complex(path: &str, why: &str) -> Incompatibility {
    Incompatibility { rule: "TOO_COMPLEX", path: path.to_owned(), message: why.to_owned() }
}

/// Two places, by their addresses; those of the old and the new document are never the same.
type Pair = (usize, usize);

#[derive(Default)]
struct Walk {
    found: Vec<Incompatibility>,
    /// How deep in attempts: those only want to know whether there is anything.
    attempts: usize,
    steps: usize,
    depth: usize,
    /// Why there is no answer. It stays when the attempt is over in which that came out.
    too_complex: Option<&'static str>,
    /// Pairs that are being compared, and how deep.
    open: HashMap<Pair, usize>,
    /// The shallowest open pair that was taken for compatible since the innermost open pair was begun.
    assumed: Option<usize>,
    compatible: HashSet<Pair>,
    incompatible: HashSet<Pair>,
    patterns: HashMap<String, Option<Regex>>,
}

impl Walk {
    /// Compares two places; what was found is in `found`.
    fn places(&mut self, old: &Place<'_>, new: &Place<'_>, path: &str) {
        if !self.spend(1) {
            return;
        }
        let (old_shape, new_shape) = (Shape::of(old), Shape::of(new));
        if !self.spend(old_shape.size().saturating_add(new_shape.size())) {
            return;
        }
        // Where a $ref leads to one type, the place is the one that it leads to, whatever the way was.
        let pair = match (&old_shape, &new_shape) {
            (Shape::Typed(_, old), Shape::Typed(_, new)) => (old.address(), new.address()),
            _ => (old.address(), new.address()),
        };
        if let Some(&depth) = self.open.get(&pair) {
            self.assumed = Some(self.assumed.map_or(depth, |assumed| assumed.min(depth)));
            return;
        }
        if self.compatible.contains(&pair) {
            return;
        }
        if self.attempts > 0 && self.incompatible.contains(&pair) {
            self.report("TYPE_CHANGED", path, || "it was compared before".to_owned());
            return;
        }
        if self.depth >= DEPTH_MAX {
            self.give_up("the schemas nest too deep to be compared");
            return;
        }
        let (depth, before, outer) = (self.depth, self.found.len(), self.assumed.take());
        self.open.insert(pair, depth);
        self.depth += 1;
        self.shapes(&old_shape, &new_shape, path);
        self.depth -= 1;
        self.open.remove(&pair);
        let assumed = self.assumed.filter(|assumed| *assumed < depth);
        if self.found.len() > before {
            self.incompatible.insert(pair);
        } else if assumed.is_none() && self.too_complex.is_none() {
            self.compatible.insert(pair);
        }
        self.assumed = match (outer, assumed) {
            (Some(outer), Some(assumed)) => Some(outer.min(assumed)),
            (outer, assumed) => outer.or(assumed),
        };
    }

    fn parts(&mut self, old: &Part<'_>, new: &Part<'_>, path: &str) {
        match (old, new) {
            (Part::Place(old), Part::Place(new)) => self.places(old, new, path),
            _ => self.shapes(&old.shape(), &new.shape(), path),
        }
    }

    fn shapes(&mut self, old: &Shape<'_>, new: &Shape<'_>, path: &str) {
        if !self.spend(old.size().saturating_add(new.size()).saturating_add(1)) {
            return;
        }
        match (old, new) {
            (Shape::Nothing, _) | (_, Shape::Anything) => {}
            (Shape::Combined(..), _) | (_, Shape::Combined(..)) => combined::compare(self, old, new, path),
            (Shape::Typed(old_kind, old), Shape::Typed(new_kind, new)) if old_kind == new_kind => {
                self.typed(*old_kind, old, new, path);
            }
            (Shape::Enumeration(old), Shape::Enumeration(new)) => scalars::compare_values(self, old, new, path),
            // What must not match works the other way round.
            (Shape::Not(old), Shape::Not(new)) => {
                if !self.attempt(|walk| walk.places(new, old, path)) {
                    self.report("NOT_TYPE_EXTENDED", path, || "\"not\" excludes more than before".to_owned());
                }
            }
            _ => self.report("TYPE_CHANGED", path, || format!("the type changed from {} to {}", old.describe(), new.describe())),
        }
    }

    fn typed(&mut self, kind: Kind, old: &Place<'_>, new: &Place<'_>, path: &str) {
        match kind {
            Kind::Null | Kind::Boolean => {}
            Kind::Number => scalars::compare_numbers(self, old, new, path),
            Kind::String => scalars::compare_strings(self, old, new, path),
            Kind::Object => objects::compare(self, old, new, path),
            Kind::Array => arrays::compare(self, old, new, path),
        }
    }

    /// Whether `compare` finds nothing; what it finds is forgotten.
    fn attempt(&mut self, compare: impl FnOnce(&mut Walk)) -> bool {
        let before = std::mem::take(&mut self.found);
        self.attempts += 1;
        compare(self);
        self.attempts -= 1;
        let is_compatible = self.found.is_empty();
        self.found = before;
        is_compatible && self.too_complex.is_none()
    }

    fn report(&mut self, rule: &'static str, path: &str, message: impl FnOnce() -> String) {
        if !self.is_over() {
            self.found.push(Incompatibility { rule, path: path.to_owned(), message: message() });
        }
    }

    /// Whether nothing more needs to be known.
    fn is_over(&self) -> bool {
        let enough = if self.attempts > 0 { 1 } else { FOUND_MAX };
        self.too_complex.is_some() || self.found.len() >= enough
    }

    /// Counts work; false: there is no more to do.
    fn spend(&mut self, steps: usize) -> bool {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > STEPS_MAX {
            self.give_up("the schemas are too complex to be compared");
        }
        !self.is_over()
    }

    fn give_up(&mut self, why: &'static str) {
        self.too_complex.get_or_insert(why);
    }

    /// Whether a pattern of `patternProperties` is in a property's name.
    fn matches(&mut self, pattern: &str, name: &str) -> bool {
        if !self.patterns.contains_key(pattern) {
            if !self.spend(STEPS_PER_PATTERN) {
                return false;
            }
            let compiled = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build().ok();
            self.patterns.insert(pattern.to_owned(), compiled);
        }
        self.spend(1 + name.len() / BYTES_PER_STEP)
            && self.patterns.get(pattern).and_then(Option::as_ref).is_some_and(|regex| regex.is_match(name))
    }
}

/// `path` with one more name, as a JSON pointer.
fn below(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}
