//! Goal: values are judged as the specifications say. Method: the official JSON-Schema-Test-Suite, from the folder that
//! `FBF_JSON_SCHEMA_SUITE` names (with `draft4/` … `draft2020-12/` in it, and `remotes/` beside it); without it the test passes.

use super::JsonSchema;
use crate::schema::format::Referenced;
use jsonschema::Draft;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const DRAFTS: [(&str, Draft); 5] = [
    ("draft4", Draft::Draft4),
    ("draft6", Draft::Draft6),
    ("draft7", Draft::Draft7),
    ("draft2019-09", Draft::Draft201909),
    ("draft2020-12", Draft::Draft202012),
];

/// Cases that are answered otherwise, on purpose: start of the file's path, a part of what the case is called, why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("draft4/format.json", "only an annotation by default", "formats are checked in drafts 4 to 7, as Confluent's validators do"),
    ("draft6/format.json", "only an annotation by default", "formats are checked in drafts 4 to 7, as Confluent's validators do"),
    ("draft7/format.json", "only an annotation by default", "formats are checked in drafts 4 to 7, as Confluent's validators do"),
    ("draft2019-09/vocabulary.json", "schema that uses custom metaschema", "an unknown $schema is refused"),
    ("draft2020-12/vocabulary.json", "schema that uses custom metaschema", "an unknown $schema is refused"),
    ("draft2019-09/vocabulary.json", "ignore unrecognized optional vocabulary", "an unknown $schema is refused"),
    ("draft2020-12/vocabulary.json", "ignore unrecognized optional vocabulary", "an unknown $schema is refused"),
];

/// A document of `remotes/`.
struct Remote {
    /// Below `remotes/`, with `/`.
    path: String,
    text: String,
}

#[test]
fn json_schema_test_suite() {
    let Some(root) = std::env::var_os("FBF_JSON_SCHEMA_SUITE").map(PathBuf::from) else {
        eprintln!("json_schema_test_suite: FBF_JSON_SCHEMA_SUITE names no folder, nothing was tested");
        return;
    };
    let remotes = read_remotes(&root);
    let (mut cases, mut excepted, mut wrong) = (0, 0, Vec::new());
    for (folder, draft) in DRAFTS {
        for file in files_in(&root.join(folder)) {
            let name = format!("{folder}/{}", file.file_name().unwrap_or_default().to_string_lossy());
            let groups: Value = serde_json::from_str(&fs::read_to_string(&file).expect("a readable file")).expect("JSON");
            for group in groups.as_array().expect("an array of groups") {
                for (case, problem) in judge(group, folder, draft, &remotes) {
                    cases += 1;
                    let Some(problem) = problem else { continue };
                    if EXCEPTIONS.iter().any(|(file, part, _)| name.starts_with(file) && case.contains(part)) {
                        excepted += 1;
                    } else {
                        wrong.push(format!("{name}: {case}: {problem}"));
                    }
                }
            }
        }
    }
    eprintln!("json_schema_test_suite: {cases} cases, {excepted} exceptions, {} wrong", wrong.len());
    assert!(cases > 0, "no case in {}", root.display());
    assert!(wrong.is_empty(), "{} of {cases} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// What each case of a group is called, and what is wrong with the answer.
fn judge(group: &Value, folder: &str, draft: Draft, remotes: &[Remote]) -> Vec<(String, Option<String>)> {
    let text = group["schema"].to_string();
    let references = needed(&text, folder, remotes);
    let schema = JsonSchema::parse_with_draft(&text, &references, draft);
    let title = group["description"].as_str().unwrap_or_default();
    let mut judged = Vec::new();
    for case in group["tests"].as_array().into_iter().flatten() {
        let name = format!("{title} / {}", case["description"].as_str().unwrap_or_default());
        let is_valid = case["valid"].as_bool().unwrap_or_default();
        let problem = match &schema {
            Err(error) => Some(format!("refused: {error}")),
            Ok(schema) => match (schema.check_value(case["data"].to_string().as_bytes()), is_valid) {
                (Ok(()), true) | (Err(_), false) => None,
                (Ok(()), false) => Some("accepted".to_owned()),
                (Err(error), true) => Some(format!("not accepted: {error}")),
            },
        };
        judged.push((name, problem));
    }
    judged
}

/// The remote documents that a schema names, directly or through others.
fn needed(text: &str, folder: &str, remotes: &[Remote]) -> Vec<Referenced> {
    let fitting: Vec<&Remote> = remotes
        .iter()
        .filter(|remote| {
            let top = remote.path.split('/').next().unwrap_or_default();
            // Where a draft has its own, the one for all is written for others.
            let own = format!("{folder}/{}", remote.path);
            let is_for_all = !(top.starts_with("draft") || top == "v1" || remotes.iter().any(|other| other.path == own));
            top == folder || is_for_all
        })
        .collect();
    let mut texts = text.to_owned();
    let mut taken: Vec<&Remote> = Vec::new();
    loop {
        let more: Vec<&Remote> = fitting
            .iter()
            .filter(|remote| !taken.iter().any(|other| other.path == remote.path))
            .filter(|remote| texts.contains(remote.path.rsplit('/').next().unwrap_or_default()))
            .copied()
            .collect();
        if more.is_empty() {
            break;
        }
        for remote in more {
            texts.push_str(&remote.text);
            taken.push(remote);
        }
    }
    taken
        .into_iter()
        .map(|remote| Referenced { name: format!("http://localhost:1234/{}", remote.path), text: remote.text.clone() })
        .collect()
}

fn read_remotes(root: &Path) -> Vec<Remote> {
    let folder = [root.join("remotes"), root.join("../remotes")].into_iter().find(|folder| folder.is_dir());
    let Some(folder) = folder else { return Vec::new() };
    let mut remotes = Vec::new();
    let mut open = vec![folder.clone()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                let below = path.strip_prefix(&folder).expect("it was found there");
                let text = fs::read_to_string(&path).expect("a readable file");
                remotes.push(Remote { path: below.to_string_lossy().replace('\\', "/"), text });
            }
        }
    }
    remotes.sort_by(|one, other| one.path.cmp(&other.path));
    remotes
}

/// The files of a draft, without its `optional/`.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}
