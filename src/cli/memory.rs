//! Refuses to start where hostile requests could abort the process by the memory that they ask for.
//!
//! The decoder reserves room by counts on the wire before it sees that the bytes are missing: nine bytes can ask for 150 GB. With jemalloc
//! such a block is only mapped, never touched, and costs nothing, as long as the system lets it be mapped.

use rustix::process::{Resource, getrlimit};

const OVERCOMMIT: &str = "/proc/sys/vm/overcommit_memory";

/// The largest block that a count on the wire can ask for is some 2^31 items of a few hundred bytes.
const ADDRESS_SPACE_LEAST: u64 = 1 << 40;

/// Whether this system lets large blocks be mapped.
///
/// # Errors
/// What is in the way and how to change it, on one line.
pub(super) fn check() -> Result<(), String> {
    // Where the file is missing (another system than Linux), there is nothing that it could forbid.
    let overcommit = std::fs::read_to_string(OVERCOMMIT).unwrap_or_default();
    verdict(overcommit.trim(), getrlimit(Resource::As).current)
}

/// `overcommit`: the kernel's mode; `address_space`: RLIMIT_AS in bytes, `None` when unlimited.
fn verdict(overcommit: &str, address_space: Option<u64>) -> Result<(), String> {
    if overcommit == "2" {
        return Err(
            "vm.overcommit_memory is 2: a hostile request could end the process by asking for memory that is never used; \
                    set it to 0 or 1 (sysctl vm.overcommit_memory=0)"
                .to_owned(),
        );
    }
    match address_space {
        Some(bytes) if bytes < ADDRESS_SPACE_LEAST => Err(format!(
            "the address space is limited to {bytes} bytes (ulimit -v): a hostile request could end the process by asking for memory \
             that is never used; lift the limit (ulimit -v unlimited) and bound memory by cgroups instead"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_accounting_and_small_address_spaces_are_refused() {
        assert!(verdict("2", None).is_err_and(|line| line.contains("vm.overcommit_memory") && !line.contains('\n')));
        assert!(verdict("0", Some(64 << 30)).is_err_and(|line| line.contains("ulimit -v") && !line.contains('\n')));
        assert_eq!(verdict("0", None), Ok(()));
        assert_eq!(verdict("1", Some(1 << 47)), Ok(()));
        assert_eq!(verdict("", None), Ok(()));
    }
}
