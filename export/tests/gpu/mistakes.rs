//! Launches that are wired wrongly in one place each, made mechanically.

use dualnet_cuda::{Argument, Launch};
use dualnet_engine::gpu::{Scene, Stretch};
use std::convert::Infallible;
use std::ops::Range;

/// One launch that is wrong.
pub struct Mistake {
    pub what: String,
    /// What runs in the launch's place; `None` when it is left out.
    pub scene: Option<Scene>,
}

/// What could be wrong with the launch `scenes[index]`: it is missing, something it reads is 64 bytes further on, it reads two things for each other,
/// or it has a constant of another launch of the same kernel. What it is given and does not read is no mistake: `fails` runs it with an address where
/// nothing is.
pub fn mistakes(scenes: &[Scene], index: usize, constants: &Range<u64>, fails: &dyn Fn(Scene) -> bool) -> Vec<Mistake> {
    let scene = &scenes[index];
    let kernel = &scene.launch.kernel;
    let mut mistakes = vec![Mistake {
        what: format!("launch {index}, {kernel}, is missing"),
        scene: None,
    }];
    let mut add = |what: String, change: &dyn Fn(u64) -> u64, stretch: Option<&Stretch>| {
        let launch = scene.launch.placed(|address| Ok::<u64, Infallible>(change(address)));
        let mut stretches = scene.stretches.clone();
        stretches.extend(stretch.cloned());
        mistakes.push(Mistake {
            what: format!("launch {index}, {kernel}, {what}"),
            scene: launch.ok().map(|launch| Scene { launch, stretches }),
        });
    };
    let read: Vec<u64> = read(scene)
        .into_iter()
        .filter(|&address| moved(scene, address, NOWHERE).is_none_or(fails))
        .collect();
    for (position, &address) in read.iter().enumerate() {
        let further = |other: u64| if other == address { address + 64 } else { other };
        add(
            format!("reads 64 bytes further from {}", name(scene, address)),
            &further,
            None,
        );
        for &second in &read[..position] {
            if is_a_sum(name(scene, address), name(scene, second)) {
                continue;
            }
            let swapped = |other: u64| match other {
                _ if other == address => second,
                _ if other == second => address,
                _ => other,
            };
            let what = format!("reads {} for {} and back", name(scene, address), name(scene, second));
            add(what, &swapped, None);
        }
    }
    for other in scenes.iter().filter(|other| other.launch.kernel == *kernel) {
        for (ours, theirs) in memory(&scene.launch).zip(memory(&other.launch)) {
            let Some(stretch) = read_stretch(other, theirs).filter(|_| constants.contains(&theirs)) else {
                continue;
            };
            if ours == theirs || !constants.contains(&ours) || !read.contains(&ours) {
                continue;
            }
            let is_known = scene.stretches.iter().any(|known| known.place == stretch.place);
            let replaced = |address: u64| if address == ours { theirs } else { address };
            let what = format!("reads {} for {}", stretch.name, name(scene, ours));
            add(what, &replaced, (!is_known).then_some(stretch));
        }
    }
    mistakes
}

/// An address of nothing.
const NOWHERE: u64 = 1 << 60;

/// The launch with one address for another.
fn moved(scene: &Scene, address: u64, to: u64) -> Option<Scene> {
    let other = |found: u64| if found == address { to } else { found };
    let launch = scene
        .launch
        .placed(|address| Ok::<u64, Infallible>(other(address)))
        .ok()?;
    let stretches = scene.stretches.clone();
    Some(Scene { launch, stretches })
}

fn memory(launch: &Launch<u64>) -> impl Iterator<Item = u64> {
    launch.arguments.iter().filter_map(|argument| match *argument {
        Argument::Memory(address) => Some(address),
        _ => None,
    })
}

/// The stretch of an address, if the launch only reads it.
fn read_stretch(scene: &Scene, address: u64) -> Option<&Stretch> {
    let mut stretches = scene.stretches.iter();
    stretches.find(|stretch| stretch.place.contains(&address) && stretch.written.is_empty())
}

/// Whether the launch adds the two: one for the other is the same sum of a single record.
fn is_a_sum(one: &str, other: &str) -> bool {
    [(one, other), (other, one)].contains(&("windows", "positions"))
}

fn name(scene: &Scene, address: u64) -> &str {
    read_stretch(scene, address).map_or("nothing", |stretch| &stretch.name)
}

/// The addresses that a launch reads from, each once.
fn read(scene: &Scene) -> Vec<u64> {
    let mut addresses: Vec<u64> = memory(&scene.launch)
        .filter(|&address| read_stretch(scene, address).is_some())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
