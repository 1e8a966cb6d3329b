//! What a measurement says of itself, and the file that keeps it.

use dualnet_fixtures::quantile;
use std::fmt::Write as _;
use std::io::Write;

/// The processor, what runs on it, and how the kernels were built, in one line.
///
/// # Panics
/// On a processor that no kernel runs on.
pub fn setting() -> String {
    let isa = dualnet_engine::simd::Isa::detect().expect("an instruction set").name();
    let level = env!("BENCH_OPT_LEVEL");
    format!("{}, {isa}, one thread, batch 1, opt-level {level}", processor())
}

/// The processor's name.
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// A median with the quartiles beside it; nothing is rounded before.
pub fn spread(values: &[f64]) -> String {
    let [lower, middle, upper] = [0.25, 0.5, 0.75].map(|share| quantile(values.iter().copied(), share));
    format!("{middle:.2} ({lower:.2} to {upper:.2})")
}

/// Prints a table under `title`, and appends both to the file that `ECG_BENCH_RESULTS` names, if it does.
///
/// # Panics
/// Where that file cannot be written.
pub fn publish(title: &str, notes: &str, header: &[&str], rows: &[Vec<String>]) {
    let mut text = format!("\n## {title}\n{notes}\n\n");
    let mut line = |cells: &[String]| writeln!(text, "| {} |", cells.join(" | ")).expect("memory");
    line(&header.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>());
    line(&vec!["---".to_owned(); header.len()]);
    rows.iter().for_each(|row| line(row));
    println!("{text}");
    if let Some(path) = std::env::var_os("ECG_BENCH_RESULTS") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
