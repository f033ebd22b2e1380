//! Whose topics are whose: a project, and the names that are the project's. Both HTTP and webhooks ask here, and nowhere else.

use crate::config::{Http, HttpAuth};

/// Without projects there is one that everything belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// `None`: the one that is there without API keys.
    pub project: Option<String>,
    /// Names of the project's topics begin with this.
    pub prefix: String,
    /// Longer prefixes of other projects that begin so: what begins with one of them is theirs.
    pub others: Vec<String>,
}

impl Scope {
    /// The scope of `project` as it is configured; `None`: it is not there now, so nothing is delivered for it.
    #[must_use]
    pub fn of(http: &Http, project: Option<&str>) -> Option<Scope> {
        let Some(id) = project else {
            return (http.auth == HttpAuth::None).then(Scope::default);
        };
        let prefix = http.projects.get(id)?.topic_prefix.clone();
        let all = http.projects.values().map(|project| &project.topic_prefix);
        let others = all.filter(|other| other.len() > prefix.len() && other.starts_with(&prefix)).cloned().collect();
        Some(Scope { project: Some(id.to_owned()), prefix, others })
    }

    /// Whether every topic is the project's.
    #[must_use]
    pub fn has_all(&self) -> bool {
        self.prefix.is_empty() && self.others.is_empty()
    }

    /// The Kafka topic that the project calls `name`.
    #[must_use]
    pub fn kafka_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What the project calls the Kafka topic `name`; `None`: it is not the project's.
    #[must_use]
    pub fn own_name<'a>(&self, name: &'a str) -> Option<&'a str> {
        if self.others.iter().any(|other| name.starts_with(other.as_str())) {
            return None;
        }
        name.strip_prefix(self.prefix.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::http::Project;

    #[test]
    fn a_project_has_its_prefix_and_not_those_of_others() {
        let mut http = Http { auth: HttpAuth::Keys, ..Http::default() };
        for (id, prefix) in [("a", "a."), ("b", "a.b."), ("c", "c.")] {
            http.projects.insert(id.to_owned(), Project { topic_prefix: prefix.to_owned(), ..Project::default() });
        }
        let scope = Scope::of(&http, Some("a")).expect("configured");
        assert_eq!(scope.kafka_name("x"), "a.x");
        assert_eq!((scope.own_name("a.x"), scope.own_name("a.b.x"), scope.own_name("c.x")), (Some("x"), None, None));
        assert_eq!((Scope::of(&http, Some("gone")), Scope::of(&http, None)), (None, None));
        assert!(Scope::of(&Http::default(), None).is_some());
    }
}
