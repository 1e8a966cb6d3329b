//! Turns a panic in somebody else's code into an error, without its message on standard error.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` and returns the message of the panic it may end in.
///
/// Whatever `work` changes must not be used again after an error. The first call wraps the process's panic hook: panics
/// on a thread that is inside this function are not reported there, all others are reported as before.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !CATCHING.get() {
                previous(panic);
            }
        }));
    });
    let outer = CATCHING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(outer);
    result.map_err(|payload| message(&*payload).to_owned())
}

fn message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else {
        "no message"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(catch(|| 1), Ok(1));
        assert_eq!(catch(|| -> u8 { panic!("static") }), Err("static".to_owned()));
        assert_eq!(catch(|| -> u8 { panic!("number {}", 2) }), Err("number 2".to_owned()));
        assert_eq!(
            catch(|| -> u8 { std::panic::panic_any(3) }),
            Err("no message".to_owned())
        );
        assert!(!CATCHING.get());
    }

    #[test]
    fn catching_nests() {
        let result = catch(|| (catch(|| panic!("inner")), CATCHING.get()));
        assert_eq!(result, Ok((Err::<(), _>("inner".to_owned()), true)));
    }
}
