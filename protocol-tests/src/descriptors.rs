//! Open files, of which each connection is one: the limit of this process, which the servers that it starts inherit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one, and answers it.
///
/// # Errors
/// When that is fewer than `needed`: what to do.
pub fn raise_for(needed: u64) -> Result<u64, String> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where it is refused, what counts is the limit that is left.
    let _ = setrlimit(Resource::Nofile, raised);
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    enough(current, needed)
}

fn enough(current: u64, needed: u64) -> Result<u64, String> {
    if current < needed {
        return Err(format!(
            "{needed} open files are needed and the limit (RLIMIT_NOFILE) is {current}; raise the hard limit (ulimit -Hn {needed}, as root) or ask for fewer"
        ));
    }
    Ok(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_open_files_are_told() {
        assert_eq!(enough(100, 100), Ok(100));
        assert!(enough(100, 101).is_err_and(|what| what.contains("101 open files")));
    }
}
