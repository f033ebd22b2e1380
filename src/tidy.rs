//! Goal: the rules of the house that a compiler does not know. Method: read the source tree as text.
//!
//! Which layer a module belongs to and whom it may name, who may read the clock, make randomness and spawn, where message types may
//! appear, how API files begin, how long files get, and whether the README's table of APIs is true.

use crate::api::TABLE;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules by layer; a module names modules of lower layers only.
const LAYERS: &[&[&str]] = &[
    &["ids", "env", "config", "telemetry", "tasks", "sockets", "span"],
    &["wire", "records", "store"],
    &["log", "catalog"],
    &["coordinator", "schema"],
    &["broker"],
    &["api"],
    &["hooks"],
    &["server", "http"],
    &["cli", "main"],
];

/// Peers that may name each other all the same: the clock counts in `ids`, and log filters are checked where they are used.
const PEERS: &[(&str, &str)] = &[("env", "ids"), ("config", "telemetry")];

/// Files above [`LINES_MAX`] lines of code, with the number that they have now: it may go down, never up, and the list gets no new entries.
const LONG_FILES: &[(&str, usize)] = &[];
const LINES_MAX: usize = 500;

/// Test code in files of its own.
const TEST_FILES: &[&str] = &["tests.rs", "contract.rs", "faulty.rs", "tidy.rs"];

/// One source file without its comments and its test module.
struct Source {
    /// Below `src/`, with `/`.
    path: String,
    module: String,
    /// The whole file.
    text: String,
    code: String,
}

#[test]
fn modules_name_lower_layers_only() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.module != "lib") {
        let own = layer(&source.module).unwrap_or_else(|| panic!("{}: put its module into LAYERS of tidy.rs", source.path));
        for named in named_modules(&source.code) {
            let is_allowed = named == source.module
                || PEERS.contains(&(source.module.as_str(), named.as_str()))
                || layer(&named).is_some_and(|layer| layer < own);
            if !is_allowed {
                wrong.push(format!("{} names crate::{named}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn message_types_stay_in_wire_and_api() {
    forbid(&["kafka_protocol"], |source| ["wire", "api", "hooks", "http"].contains(&source.module.as_str()));
}

#[test]
fn only_env_reads_clock_and_randomness() {
    forbid(&["SystemTime", "Instant::now", "rand::"], |source| source.path == "env.rs");
}

#[test]
fn only_tasks_spawns() {
    forbid(&["tokio::spawn", "thread::spawn", "thread::Builder", "spawn_blocking"], |source| source.path == "tasks.rs");
}

#[test]
fn api_files_begin_with_name_key_and_versions() {
    let sources = sources();
    let api_files: Vec<&Source> = sources.iter().filter(|source| source.path.starts_with("api/")).collect();
    for source in &api_files {
        assert!(source.text.starts_with("//! "), "src/{} has no header", source.path);
    }
    for row in TABLE {
        let versions =
            if row.min == row.max { format!("version {}", row.min) } else { format!("versions {}-{}", row.min, row.max) };
        let header = format!("//! {}, key {}, {versions}", row.name, row.key);
        let is_header =
            |text: &str| text.strip_prefix(&header).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
        assert!(api_files.iter().any(|source| is_header(&source.text)), "no file in src/api begins with {header:?}");
    }
}

#[test]
fn files_stay_short() {
    for source in sources() {
        let lines = source.code.lines().filter(|line| !line.trim().is_empty()).count();
        match LONG_FILES.iter().find(|(path, _)| *path == source.path) {
            Some((path, most)) => {
                assert!(lines <= *most, "src/{path} grew from {most} to {lines} lines of code: ask which second noun moved in");
                assert!(lines == *most, "src/{path} shrank from {most} to {lines} lines of code: say so in LONG_FILES");
            }
            None => assert!(
                lines <= LINES_MAX,
                "src/{} has {lines} lines of code, more than {LINES_MAX}: ask which second noun moved in",
                source.path
            ),
        }
    }
    for (path, _) in LONG_FILES {
        assert!(root().join("src").join(path).exists(), "LONG_FILES names src/{path}, which is gone");
    }
}

#[test]
fn readme_lists_the_apis_that_we_answer() {
    let mut table = "| API | key | versions |\n| --- | --- | --- |\n".to_owned();
    for row in TABLE {
        table.push_str(&format!("| {} | {} | {}-{} |\n", row.name, row.key, row.min, row.max));
    }
    let readme = fs::read_to_string(root().join("README.md")).unwrap_or_default();
    let between = readme.split_once("<!-- api-table -->").and_then(|(_, rest)| rest.split_once("<!-- /api-table -->"));
    let rows =
        |text: &str| text.lines().map(str::trim).filter(|line| line.starts_with('|')).map(str::to_owned).collect::<Vec<_>>();
    let written = between.map(|(text, _)| rows(text)).unwrap_or_default();
    assert!(
        written == rows(&table),
        "README.md does not list our APIs; put this between <!-- api-table --> and <!-- /api-table -->:\n\n{table}"
    );
}

/// Fails when code outside `may` has one of `words`.
fn forbid(words: &[&str], may: impl Fn(&Source) -> bool) {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !may(source)) {
        for (index, line) in source.code.lines().enumerate() {
            // The runtime's own timer is not the clock: tests can pause it.
            let line = line.replace("tokio::time::Instant::now", "");
            for word in words.iter().filter(|word| has_word(&line, word)) {
                wrong.push(format!("src/{} has {word}, {} lines into its code: {}", source.path, index + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether `word` stands in `line`, and not as the end of a longer name (`operand::` is not `rand::`).
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
}

/// What follows `crate::` in paths and in `use crate::{…}`.
fn named_modules(code: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        // pub(in crate::x) and $crate::x count too; my_crate::x does not.
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(list) => named.extend(first_names(list)),
            None => named.push(identifier(rest)),
        }
    }
    named
}

/// The names at the top of a list `a::b, c::{d, e}}…`, up to the brace that closes it.
fn first_names(list: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut depth = 0;
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            _ => {}
        }
        if depth == 0 && !matches!(c, ',' | '}') {
            names.last_mut().expect("it starts with one").push(c);
        }
    }
    names.iter().map(|name| identifier(name.trim())).filter(|name| !name.is_empty()).collect()
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All source files but those that are tests.
fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut open = vec![root().join("src")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("src can be listed") {
            let path = entry.expect("src can be listed").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("source files have plain names").to_owned();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !TEST_FILES.contains(&name.as_str()) {
                sources.push(source(&path));
            }
        }
    }
    assert!(sources.len() > 20, "the tree was read");
    sources
}

fn source(path: &Path) -> Source {
    let text = fs::read_to_string(path).expect("source files are UTF-8");
    let below = path.strip_prefix(root().join("src")).expect("it was found there");
    let path = below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
    let module = path.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
    Source { code: code_of(&text), path, module, text }
}

/// Without comment lines, and without the test module at the end.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let opens_tests = |next: &&str| next.contains("mod ") && next.trim_end().ends_with('{');
        if line.trim() == "#[cfg(test)]" && lines.peek().is_some_and(opens_tests) {
            break;
        }
        if !line.trim_start().starts_with("//") {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

#[test]
fn names_in_braces_are_found() {
    let code = "use crate::{config::{Config, Sync}, log::Logs, ids};\nlet x = $crate::store::memory(my_crate::api);";
    assert_eq!(named_modules(code), ["config", "log", "ids", "store"]);
}
