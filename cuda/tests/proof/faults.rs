//! The host build says so when a kernel does what it must not.

use crate::program::{Build, build};
use crate::script::{On, Script};
use dualnet_cuda::{Argument, Launch};

fn message(kernel: &str, blocks: u32, build_as: Build) -> Option<String> {
    ran(kernel, blocks, false, build_as)
}

/// What the second of two blocks takes over from the first.
fn message_of_two(kernel: &str, together: bool) -> Option<String> {
    ran(kernel, 2, together, Build::Sanitized)
}

fn ran(kernel: &str, blocks: u32, together: bool, build_as: Build) -> Option<String> {
    let program = build("faults", include_str!("faults.cu"), build_as);
    let mut script = Script::default();
    let values: Vec<f32> = (0..64).map(|i| i as f32).collect();
    let mut memory = vec![script.input("in", &values)];
    let waits = WAITING.iter().any(|(name, _)| *name == kernel);
    memory.push(script.output("out", 4, if waits { 128 } else { 64 }));
    if waits {
        memory.push(script.input("counters", &[0_u32]));
    }
    script.launch(&Launch {
        family: "faults",
        kernel: kernel.to_owned(),
        blocks,
        rows: 1,
        threads: 64,
        shared_bytes: 0,
        together,
        arguments: memory.into_iter().map(Argument::Memory).collect(),
    });
    let on = On::host(&program, 9);
    match script.run(on) {
        Ok(()) => None,
        Err(fault) => {
            assert_eq!(fault.status, Some(3), "{kernel}: {}", fault.message);
            Some(fault.message)
        }
    }
}

/// Kernels of two blocks, and what is said of them.
const WAITING: [(&str, &[&str]); 8] = [
    ("handed_on", &[]),
    ("never_handed_on", &["counter that nobody raises"]),
    // Which of the two is noticed depends on the order of blocks.
    ("not_waited_for", &["race", "never written"]),
    ("handed_on_too_early", &["race", "never written"]),
    ("no_barrier_behind_the_wait", &["race", "never written"]),
    ("overwritten_too_early", &["race"]),
    ("counter_of_the_same_launch", &["was written in this launch"]),
    ("read_from_a_cache", &["which only load_fresh sees"]),
];

#[test]
fn blocks_that_wait_for_one_another_must_do_so_rightly() {
    for (kernel, expected) in WAITING {
        let message = message_of_two(kernel, true);
        match &message {
            None => assert!(expected.is_empty(), "{kernel} went unnoticed"),
            Some(message) => assert!(
                expected.iter().any(|expected| message.contains(expected)),
                "{kernel}: {message}"
            ),
        }
    }
    let message = message_of_two("handed_on", false).expect("blocks one after the other");
    assert!(message.contains("blocks that do not run together"), "{message}");
}

#[test]
fn each_fault_is_named() {
    for (kernel, blocks, expected) in [
        ("read_beyond", 1, "in[64] is read and there are 64"),
        ("write_beyond", 1, "out[64] is written and there are 64"),
        ("write_before", 1, "out[-1] is written and there are 64"),
        ("read_unwritten", 1, "was never written"),
        ("odd_pack", 1, "4 elements at an odd address"),
        ("register_beyond", 1, "register array of 4: index "),
        ("two_writers", 1, "in a race with thread"),
        ("two_blocks", 2, "in a race with thread"),
        ("no_second_barrier", 1, "in a race with thread"),
        ("shared_unwritten", 1, "was never written"),
        ("barrier_of_some", 1, "from thread 40 on: ended"),
        ("barriers_of_two_places", 1, "not every thread reaches the same barrier"),
        ("shuffle_of_some", 1, "exchange among lanes"),
    ] {
        let message = message(kernel, blocks, Build::Sanitized).unwrap_or_else(|| panic!("{kernel} went unnoticed"));
        assert!(message.contains(expected), "{kernel}: {message}");
    }
    // Which of the two is noticed depends on the order of threads.
    for kernel in ["no_barrier", "no_warp_barrier", "warp_barrier_between_warps"] {
        let message = message(kernel, 1, Build::Plain).unwrap_or_else(|| panic!("{kernel} went unnoticed"));
        assert!(
            message.contains("race") || message.contains("never written"),
            "{kernel}: {message}"
        );
    }
}

#[test]
fn what_is_allowed_passes() {
    for kernel in ["nothing", "warp_barrier_within_a_warp"] {
        assert_eq!(message(kernel, 1, Build::Sanitized), None, "{kernel}");
    }
}
