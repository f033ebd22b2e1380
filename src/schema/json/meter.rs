//! Bounds how long the library may work, and how deep it may recurse, on one value or one schema.
//!
//! While a value is checked, everything that the library does with it is charged (see [`super::metered`]): it looks at the type of the value
//! each time that it enters a subschema (see [`super::prepare`]), so that work and depth are seen before they happen. When the steps are used
//! up the library is left by unwinding, as it has no other way out; the panic hook does not run. While a schema is compiled a keyword of ours
//! counts and answers with an error.
//!
//! Owner: the thread that checks or compiles, for as long as that takes.

use super::patterns::Costs;
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A look at a value costs a step or more; a million take some ten milliseconds.
const STEPS_BASE: u64 = 1_000_000;
const STEPS_PER_BYTE: u64 = 32;
/// Nodes of the value that error messages may copy.
const COPIES_BASE: u64 = 100_000;
/// What compiling may cost: about the number of compiled subschemas, each of some hundred bytes.
const COMPILE_STEPS: u64 = 300_000;
/// The library compares each place that it compiles with those that it has compiled before: so many of them cost a step more.
const COMPILED_PER_STEP: u64 = 16;
/// The runtime's threads have 2 MiB of stack.
const STACK_BYTES_WHILE_CHECKING: usize = 768 << 10;
const STACK_BYTES_WHILE_COMPILING: usize = 1 << 20;

struct Meter {
    steps: Cell<u64>,
    /// Calls of [`may_compile`].
    compiled: Cell<u64>,
    copies: Cell<u64>,
    /// Where the stack was when the work began.
    stack: Cell<usize>,
    string: Cell<u64>,
    member: Cell<u64>,
}

thread_local! {
    static METER: Meter = const {
        Meter { steps: Cell::new(u64::MAX), compiled: Cell::new(0), copies: Cell::new(u64::MAX), stack: Cell::new(0), string: Cell::new(1), member: Cell::new(1) }
    };
}

/// Why the work was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Too many steps, or too deep.
    OutOfBudget,
    /// The library failed.
    Panicked,
}

/// What unwinds when the steps are used up.
struct OutOfBudget;

/// Does `work` on a value of so many bytes.
pub(super) fn within<T>(costs: Costs, value_bytes: usize, work: impl FnOnce() -> T) -> Result<T, Left> {
    let bytes = u64::try_from(value_bytes).unwrap_or(u64::MAX);
    METER.with(|meter| {
        meter.steps.set(bytes.saturating_mul(STEPS_PER_BYTE).saturating_add(STEPS_BASE));
        meter.copies.set(bytes.saturating_add(COPIES_BASE));
        meter.stack.set(stack_position());
        meter.string.set(costs.string);
        meter.member.set(costs.member);
    });
    let done = catch(work);
    METER.with(|meter| {
        meter.steps.set(u64::MAX);
        meter.copies.set(u64::MAX);
        meter.stack.set(0);
    });
    done
}

/// Compiles a schema by `work`.
pub(super) fn compiling<T>(work: impl FnOnce() -> T) -> Result<T, Left> {
    METER.with(|meter| {
        meter.steps.set(COMPILE_STEPS);
        meter.compiled.set(0);
        meter.stack.set(stack_position());
    });
    let done = catch(work);
    METER.with(|meter| {
        meter.steps.set(u64::MAX);
        meter.stack.set(0);
    });
    done
}

/// Whether compiling may go on for `steps` more.
pub(super) fn may_compile(steps: u64) -> bool {
    METER.with(|meter| {
        let compiled = meter.compiled.replace(meter.compiled.get().saturating_add(1));
        let Some(left) = meter.steps.get().checked_sub(steps.saturating_add(compiled / COMPILED_PER_STEP)) else { return false };
        meter.steps.set(left);
        stack_used(meter) <= STACK_BYTES_WHILE_COMPILING
    })
}

/// The library looked at a value.
#[inline]
pub(super) fn charge(steps: u64) {
    METER.with(|meter| match meter.steps.get().checked_sub(steps) {
        Some(left) if stack_used(meter) <= STACK_BYTES_WHILE_CHECKING => meter.steps.set(left),
        _ => give_up(),
    });
}

/// The library looked at a string of so many bytes: patterns and formats read all of it.
#[inline]
pub(super) fn charge_string(bytes: usize) {
    let cost = METER.with(|meter| meter.string.get());
    charge(u64::try_from(bytes / 16).unwrap_or(u64::MAX).saturating_mul(cost).saturating_add(1));
}

/// The library looks at all members of an object. `names` gives the bytes of their names, which matter to patterns only.
#[inline]
pub(super) fn charge_members(members: usize, names: impl FnOnce() -> usize) {
    let cost = METER.with(|meter| meter.member.get());
    let bytes = if cost > 1 { names() / 16 } else { 0 };
    charge(u64::try_from(members.saturating_add(bytes)).unwrap_or(u64::MAX).saturating_mul(cost).saturating_add(1));
}

/// The library copies so many nodes of a value into an error.
pub(super) fn charge_copies(nodes: u64) {
    METER.with(|meter| match meter.copies.get().checked_sub(nodes) {
        Some(left) => meter.copies.set(left),
        None => give_up(),
    });
}

#[cold]
fn give_up() -> ! {
    resume_unwind(Box::new(OutOfBudget))
}

fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Left> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| why(payload.as_ref()))
}

fn why(payload: &(dyn Any + Send)) -> Left {
    if payload.is::<OutOfBudget>() { Left::OutOfBudget } else { Left::Panicked }
}

#[inline]
fn stack_used(meter: &Meter) -> usize {
    let start = meter.stack.get();
    // Outside of any work there is nothing to compare with.
    if start == 0 { 0 } else { stack_position().abs_diff(start) }
}

/// About where the stack is: the address of a local variable.
#[inline]
fn stack_position() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(&here) as usize
}
