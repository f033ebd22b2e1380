//! Which subschemas apply which others to the same value, through applicators and references: what the library would follow without end,
//! or exponentially often, is refused here.
//!
//! The graph has an edge where evaluation stays at the same place in the value (`allOf`, `$ref`, …), none where it goes into the value
//! (`properties`, `items`, …). References are resolved by the library itself, so that both see the same targets. `$dynamicRef` and
//! `$recursiveRef` get an edge to everything that they might find.
//!
//! Refused are:
//! * cycles: a value would be held against the same schema for ever;
//! * targets that hold no schema, such as a place in `enum`: they were not rewritten by [`super::prepare`];
//! * long chains of nothing but `$ref`, in drafts where nothing can be added beside it;
//! * `unevaluatedProperties` and `unevaluatedItems` over too many subschemas: the library compiles those anew for each path to them.

use super::documents::{Documents, is_standard, refused};
use super::keywords::{IN_PLACE_ARRAYS, IN_PLACE_MAPS, IN_PLACE_SINGLE, subschemas};
use super::prepare::{address_of, ignores_siblings};
use crate::schema::format::InvalidSchema;
use jsonschema::{Draft, Registry, Uri};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

const REF_CHAIN_MAX: usize = 64;
const UNEVALUATED_DEPTH_MAX: usize = 64;
const UNEVALUATED_MAX: u64 = 20_000;

/// What [`super::prepare::mark`] needs to know, by the address of the subschema.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Subschemas that a reference leads to.
    pub(super) targets: HashSet<usize>,
    /// Subschemas with `unevaluated…`, and how many subschemas that looks at.
    pub(super) unfolded: HashMap<usize, u64>,
}

struct Node<'a> {
    value: &'a Value,
    map: &'a Map<String, Value>,
    base: Arc<Uri<String>>,
    draft: Draft,
    /// Inside of a keyword that the draft does not know: an `$id` there is none.
    is_foreign: bool,
    edges: Vec<usize>,
}

/// Of the subschemas that a node applies to the same value, itself included.
#[derive(Clone, Copy, Default)]
struct Reach {
    /// How many there are, counted anew for each path.
    unfolded: u64,
    depth: usize,
    ref_chain: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

struct Graph<'a> {
    registry: &'a Registry<'a>,
    nodes: Vec<Node<'a>>,
    index: HashMap<usize, usize>,
    dynamic_anchors: HashMap<&'a str, Vec<usize>>,
    recursive_anchors: Vec<usize>,
    /// An `$id` in a foreign place, or a reference to such a place: one alone is harmless, both together make bases ambiguous.
    foreign_id: Option<&'a str>,
    foreign_target: Option<&'a str>,
    targets: HashSet<usize>,
}

/// Looks at all documents, in the addresses that they have now.
pub(super) fn inspect<'a>(documents: &'a Documents, registry: &'a Registry<'a>) -> Result<Marks, InvalidSchema> {
    let mut graph = Graph {
        registry,
        nodes: Vec::new(),
        index: HashMap::new(),
        dynamic_anchors: HashMap::new(),
        recursive_anchors: Vec::new(),
        foreign_id: None,
        foreign_target: None,
        targets: HashSet::new(),
    };
    for (document, start) in documents.with_bases()? {
        graph.add(&document.value, &Arc::new(start), document.draft, false)?;
    }
    for at in 0..graph.nodes.len() {
        let edges = graph.edges_of(at)?;
        graph.nodes[at].edges = edges;
    }
    if let (Some(id), Some(reference)) = (graph.foreign_id, graph.foreign_target) {
        return Err(InvalidSchema(format!(
            "$ref {reference:?} leads into an unknown keyword, and there is an id {id:?} in an unknown keyword, which has no effect there"
        )));
    }
    let reach = graph.reach()?;
    graph.judge(&reach)
}

impl<'a> Graph<'a> {
    /// Adds `value` and all subschemas below it.
    fn add(&mut self, value: &'a Value, base: &Arc<Uri<String>>, draft: Draft, is_foreign: bool) -> Result<(), InvalidSchema> {
        let Value::Object(map) = value else { return Ok(()) };
        let address = address_of(value);
        if self.index.contains_key(&address) {
            return Ok(());
        }
        let base = self.base_of(value, base, draft, is_foreign)?;
        let at = self.nodes.len();
        self.index.insert(address, at);
        self.nodes.push(Node { value, map, base: Arc::clone(&base), draft, is_foreign, edges: Vec::new() });
        if let Some(Value::String(name)) = map.get("$dynamicAnchor") {
            self.dynamic_anchors.entry(name).or_default().push(at);
        }
        if map.get("$recursiveAnchor") == Some(&Value::Bool(true)) {
            self.recursive_anchors.push(at);
        }
        let known: HashSet<usize> = draft.subresources_of(value).map(address_of).collect();
        for subschema in subschemas(map) {
            let is_unknown = !known.contains(&address_of(subschema));
            self.add(subschema, &base, draft, is_foreign || is_unknown)?;
        }
        Ok(())
    }

    /// The base URI inside of `value`, which may have an `$id`.
    fn base_of(
        &mut self,
        value: &'a Value,
        outer: &Arc<Uri<String>>,
        draft: Draft,
        is_foreign: bool,
    ) -> Result<Arc<Uri<String>>, InvalidSchema> {
        let resource = draft.create_resource_ref(value);
        if resource.id().is_none() {
            return Ok(Arc::clone(outer));
        }
        if is_foreign {
            self.foreign_id = value.get(draft.id_keyword()).and_then(Value::as_str);
            return Ok(Arc::clone(outer));
        }
        let resolver = self.registry.resolver((**outer).clone());
        let base = resolver.in_subresource(resource).map_err(|error| refused(&error))?.base_uri();
        if is_standard(base.as_str()) {
            return Err(InvalidSchema(format!("the id {:?} belongs to the JSON Schema drafts", base.as_str())));
        }
        Ok(base)
    }

    fn edges_of(&mut self, at: usize) -> Result<Vec<usize>, InvalidSchema> {
        let (map, draft) = (self.nodes[at].map, self.nodes[at].draft);
        let reference = map.get("$ref").and_then(Value::as_str);
        let mut edges = Vec::new();
        if let Some(reference) = reference {
            edges.extend(self.target_of(at, reference)?);
        }
        if ignores_siblings(draft) {
            if reference.is_none() {
                edges.extend(self.applied_by(map));
            }
            return Ok(edges);
        }
        edges.extend(self.applied_by(map));
        if let Some(reference) = map.get("$dynamicRef").and_then(Value::as_str) {
            edges.extend(self.target_of(at, reference)?);
            let name = reference.rsplit('#').next().unwrap_or_default();
            edges.extend(self.dynamic_anchors.get(name).into_iter().flatten());
        }
        if let Some(reference) = map.get("$recursiveRef").and_then(Value::as_str) {
            edges.extend(self.target_of(at, reference)?);
            edges.extend(&self.recursive_anchors);
        }
        // What a dynamic reference may find is compiled as the target of one.
        if map.contains_key("$dynamicAnchor") || map.contains_key("$recursiveAnchor") {
            self.targets.insert(address_of(self.nodes[at].value));
        }
        Ok(edges)
    }

    /// The subschemas that the applicators of a schema apply to the same value.
    fn applied_by(&self, map: &'a Map<String, Value>) -> Vec<usize> {
        let arrays = IN_PLACE_ARRAYS.iter().filter_map(|keyword| map.get(*keyword)?.as_array()).flatten();
        let single = IN_PLACE_SINGLE.iter().filter_map(|keyword| map.get(*keyword));
        let maps = IN_PLACE_MAPS.iter().filter_map(|keyword| map.get(*keyword)?.as_object()).flat_map(|members| members.values());
        arrays.chain(single).chain(maps).filter_map(|value| self.index.get(&address_of(value)).copied()).collect()
    }

    /// The node that a reference leads to; none where that is a boolean, or a schema of the drafts.
    fn target_of(&mut self, at: usize, reference: &'a str) -> Result<Option<usize>, InvalidSchema> {
        let resolver = self.registry.resolver((*self.nodes[at].base).clone());
        let resolved = resolver.lookup(reference).map_err(|error| refused(&error))?;
        let contents = resolved.contents();
        match self.index.get(&address_of(contents)) {
            Some(&target) => {
                self.targets.insert(address_of(contents));
                if self.nodes[target].is_foreign {
                    self.foreign_target = Some(reference);
                }
                Ok(Some(target))
            }
            None if contents.is_boolean() || is_standard(resolved.resolver().base_uri().as_str()) => Ok(None),
            None => Err(InvalidSchema(format!("$ref {reference:?} leads to a place that holds no schema"))),
        }
    }

    /// How far each node reaches; an error when one reaches itself.
    fn reach(&self) -> Result<Vec<Reach>, InvalidSchema> {
        let mut reach = vec![Reach::default(); self.nodes.len()];
        let mut state = vec![State::New; self.nodes.len()];
        for start in 0..self.nodes.len() {
            if state[start] != State::New {
                continue;
            }
            state[start] = State::Open;
            // Nodes on the way to the current one, each with how many of its edges were followed.
            let mut way = vec![(start, 0)];
            while let Some(top) = way.last_mut() {
                let at = top.0;
                match self.nodes[at].edges.get(top.1) {
                    Some(&next) => {
                        top.1 += 1;
                        match state[next] {
                            State::Done => {}
                            State::Open => return Err(self.cycle(&way, next)),
                            State::New => {
                                state[next] = State::Open;
                                way.push((next, 0));
                            }
                        }
                    }
                    None => {
                        way.pop();
                        state[at] = State::Done;
                        reach[at] = self.reach_over(at, &reach);
                    }
                }
            }
        }
        Ok(reach)
    }

    fn reach_over(&self, at: usize, reach: &[Reach]) -> Reach {
        let node = &self.nodes[at];
        let mut sum = Reach { unfolded: 1, depth: 1, ref_chain: 0 };
        for &next in &node.edges {
            sum.unfolded = sum.unfolded.saturating_add(reach[next].unfolded);
            sum.depth = sum.depth.max(reach[next].depth + 1);
        }
        if ignores_siblings(node.draft) && node.map.contains_key("$ref") {
            sum.ref_chain = 1 + node.edges.iter().map(|&next| reach[next].ref_chain).max().unwrap_or(0);
        }
        sum
    }

    fn cycle(&self, way: &[(usize, usize)], back_to: usize) -> InvalidSchema {
        let on_cycle = way.iter().map(|(at, _)| *at).skip_while(|at| *at != back_to);
        let reference = on_cycle
            .flat_map(|at| ["$ref", "$dynamicRef", "$recursiveRef"].map(|keyword| self.nodes[at].map.get(keyword)))
            .flatten()
            .find_map(Value::as_str)
            .unwrap_or_default();
        InvalidSchema(format!("$ref {reference:?} leads back to itself without going into the value: such a schema never ends"))
    }

    fn judge(self, reach: &[Reach]) -> Result<Marks, InvalidSchema> {
        let mut unfolded = HashMap::new();
        let mut sum = 0_u64;
        for (node, reach) in self.nodes.iter().zip(reach) {
            if reach.ref_chain > REF_CHAIN_MAX {
                return Err(InvalidSchema(format!("more than {REF_CHAIN_MAX} $refs lead from one to the next")));
            }
            let has_unevaluated =
                ["unevaluatedProperties", "unevaluatedItems"].iter().any(|keyword| node.map.contains_key(*keyword));
            if ignores_siblings(node.draft) || !has_unevaluated {
                continue;
            }
            sum = sum.saturating_add(reach.unfolded);
            if sum > UNEVALUATED_MAX || reach.depth > UNEVALUATED_DEPTH_MAX {
                return Err(InvalidSchema(format!(
                    "unevaluatedProperties or unevaluatedItems look at more than {UNEVALUATED_MAX} subschemas, or over more than \
                     {UNEVALUATED_DEPTH_MAX} levels of them"
                )));
            }
            unfolded.insert(address_of(node.value), reach.unfolded);
        }
        Ok(Marks { targets: self.targets, unfolded })
    }
}
