//! Whatever the bytes are, reading them ends in a recording or an error, and reserves no more memory than they justify.
#![allow(missing_docs)]

mod record_files;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dualnet_engine::record::{KEPT_SAMPLES, OpenOptions, Record, RecordError};
use proptest::prelude::*;
use record_files::{F64, Folder, I16, Matrix, U8, checksum, doubles, encode, triangle};

/// The system's allocator, noting of each thread the largest request and the bytes that are not given back.
struct Noting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn note(size: usize, released: usize) {
    // The allocator is used while a thread's variables are torn down, too.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
    let _ = HELD.try_with(|held| held.set(held.get() + size as isize - released as isize));
}

// SAFETY: every request goes to the system's allocator unchanged; noting its size allocates nothing.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0);
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size, layout.size());
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, layout.size());
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

fn read(bytes: &[u8]) -> Result<Record, RecordError> {
    Record::from_bytes("r.mat", bytes, &OpenOptions::new().sampling_rate_hz(50.0))
}

/// The largest allocation while `work` runs.
fn largest_allocation<T>(work: impl FnOnce() -> T) -> (usize, T) {
    LARGEST.set(0);
    let result = work();
    (LARGEST.get(), result)
}

/// Small files of every layout; 101 samples are two seconds at 50 Hz.
fn small_files() -> Vec<Vec<u8>> {
    let values = doubles(&triangle(101));
    let mut files = Vec::new();
    for big_endian in [false, true] {
        for kind in [I16, F64] {
            let matrix = Matrix {
                big_endian,
                ..Matrix::row(&values, kind)
            };
            files.extend([matrix.level4(), matrix.level5(false), matrix.level5(true)]);
        }
    }
    files
}

#[test]
fn no_truncation_is_accepted_and_none_panics() {
    for file in small_files() {
        assert!(read(&file).is_ok());
        for length in 0..file.len() {
            // The padding behind the last element of a level-5 file holds nothing.
            let padding = 8 * usize::from(file.starts_with(b"MATLAB"));
            assert!(
                read(&file[..length]).is_err() || length + padding > file.len(),
                "{length} of {}",
                file.len()
            );
        }
    }
}

#[test]
fn no_single_bit_flip_panics() {
    for mut file in small_files() {
        for index in 0..file.len() {
            for bit in 0..8 {
                file[index] ^= 1 << bit;
                let _ = read(&file);
                file[index] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn no_flip_in_a_header_or_its_signal_file_panics() {
    let samples = triangle(601);
    let folder = Folder::new();
    let sum = checksum(samples.iter().copied());
    let text = format!("r 1 300/300(0) 601\nr.dat 212x1:0+0 200(0)/mV 12 0 80 {sum} 0 I\n").into_bytes();
    let path = folder.write("r.hea", &text);
    folder.write("r.dat", encode(212, &samples));
    assert!(Record::open(&path).is_ok());
    for index in 0..text.len() {
        for byte in [
            text[index] ^ 1,
            text[index] ^ 16,
            text[index] ^ 128,
            0,
            b' ',
            b'\n',
            b'9',
            b'-',
        ] {
            let mut text = text.clone();
            text[index] = byte;
            folder.write("r.hea", &text);
            let _ = Record::open(&path);
        }
        folder.write("r.hea", &text[..index]);
        let _ = Record::open(&path);
    }
}

#[test]
fn claims_of_a_header_allocate_nothing() {
    let values = doubles(&triangle(3000));
    let mut level4 = Matrix::row(&values, I16).level4();
    level4[8..12].copy_from_slice(&(1_u32 << 27).to_le_bytes());
    let mut level5 = Matrix::row(&values, I16).level5(false);
    level5[132..136].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut deflated = Matrix::row(&values, I16).level5(true);
    deflated[132..136].copy_from_slice(&(1_u32 << 31).to_le_bytes());
    for file in [level4, level5, deflated] {
        let (largest, result) = largest_allocation(|| read(&file));
        assert!(matches!(result, Err(RecordError::Truncated { .. })), "{result:?}");
        assert!(largest < 1 << 12, "{largest} bytes");
    }

    let folder = Folder::new();
    folder.write("r.dat", encode(16, &triangle(3000)));
    let path = folder.write("r.hea", "r 2147483648 300 2147483648\nr.dat 16\n");
    let (largest, result) = largest_allocation(|| Record::open(&path));
    assert!(result.is_err() && largest < 1 << 16, "{largest} bytes");
    let path = folder.write("r.hea", "r 1 300 2147483648\nr.dat 16\n");
    let (largest, result) = largest_allocation(|| Record::open(&path));
    assert!(result.is_err() && largest < 1 << 16, "{largest} bytes");
}

#[test]
fn a_compressed_variable_that_is_not_wanted_takes_no_memory() {
    const ZEROS: usize = 8 << 20;
    let (zeros, values) = (vec![0.0; ZEROS], doubles(&triangle(3000)));
    let other = Matrix {
        name: "other",
        ..Matrix::row(&zeros, U8)
    };
    let wanted = Matrix::row(&values, I16);
    let bomb = wanted.level5_file(&[other.level5_element(0, U8)], true);
    let both = wanted.level5_file(&[other.level5_element(0, U8), wanted.level5_element(0, I16)], true);
    let (largest, result) = largest_allocation(|| read(&bomb));
    assert!(matches!(result, Err(RecordError::NoSuchVariable { .. })), "{result:?}");
    assert!(largest < 1 << 18, "{largest} bytes");
    let (largest, result) = largest_allocation(|| read(&both));
    assert_eq!(result.unwrap().samples().len(), 3000);
    assert!(largest < 1 << 18, "{largest} bytes");

    let mut damaged = bomb;
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(read(&damaged), Err(RecordError::Damaged { offset: 128, .. })));
}

#[test]
fn a_long_lead_takes_the_memory_of_what_is_kept_of_it() {
    const SAMPLES: usize = KEPT_SAMPLES + 1_000_000;
    let mut values = vec![0.0; SAMPLES];
    let file = |values: &[f64], compressed| Matrix::row(values, F64).level5(compressed);
    for compressed in [true, false] {
        let file = file(&values, compressed);
        let (largest, result) = largest_allocation(|| read(&file));
        let record = result.unwrap();
        assert_eq!(
            (record.samples().len(), record.recorded_samples()),
            (KEPT_SAMPLES, SAMPLES)
        );
        assert_eq!(record.duration_s(), SAMPLES as f64 / 50.0);
        assert!(largest <= 4 * KEPT_SAMPLES, "{largest} bytes");
    }
    // What is behind is looked at all the same.
    let mut damaged = file(&values, true);
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(read(&damaged), Err(RecordError::Damaged { offset: 128, .. })));
    values[SAMPLES - 1] = f64::NAN;
    let result = read(&file(&values, true));
    assert!(matches!(result, Err(RecordError::NonFinite { sample, .. }) if sample == SAMPLES - 1));

    let folder = Folder::new();
    let mut samples = triangle(SAMPLES);
    let text = format!(
        "r 1 300 {SAMPLES}\nr.dat 16 200 12 0 80 {}\n",
        checksum(samples.iter().copied())
    );
    let path = folder.write("r.hea", text);
    folder.write("r.dat", encode(16, &samples));
    let (largest, result) = largest_allocation(|| Record::open(&path));
    assert_eq!(result.unwrap().recorded_samples(), SAMPLES);
    assert!(largest <= 4 * KEPT_SAMPLES, "{largest} bytes");
    samples[SAMPLES - 1] += 1;
    folder.write("r.dat", encode(16, &samples));
    assert!(matches!(Record::open(&path), Err(RecordError::Contradiction { .. })));
}

#[test]
fn a_compressed_matrix_that_ends_early_is_an_error() {
    // Odd numbers of samples: behind them an element is padded.
    for samples in [3001, 60_001] {
        let values = doubles(&triangle(samples));
        let matrix = Matrix::row(&values, I16);
        let whole = matrix.level5_element(0, I16);
        for cut in [1, 8, 2000, whole.len() - 1] {
            let result = read(&matrix.level5_file(&[whole[..whole.len() - cut].to_vec()], true));
            assert!(
                matches!(result, Err(RecordError::Truncated { .. })),
                "{cut}: {result:?}"
            );
        }
    }
}

#[test]
fn names_of_variables_take_no_memory() {
    let file = |name: &str, count| {
        let matrix = Matrix {
            name,
            ..Matrix::row(&[1.0], U8)
        };
        matrix.level5_file(&vec![matrix.level5_element(0, U8); count], true)
    };
    let (longest, longer) = ("n".repeat(4096), "n".repeat(4097));
    let before = HELD.get();
    let result = read(&file(&longest, 2000));
    let held = HELD.get() - before;
    assert!(held < 1 << 18, "{held} bytes");
    let Err(RecordError::NoSuchVariable { present, more, .. }) = &result else {
        panic!("{result:?}");
    };
    assert_eq!((present.len(), *more), (20, 1980));
    assert!(result.unwrap_err().to_string().ends_with("… and 1980 more"));
    for count in [1, 2] {
        let refusal = read(&file(&longer, count)).unwrap_err().to_string();
        assert!(
            refusal.contains("a variable name of 4097 bytes; at most 4096"),
            "{refusal}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn no_bytes_behind_a_level_4_header_panic(fields in any::<[u8; 12]>(), kind in 0_u8..60, tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = vec![kind, 0, 0, 0, fields[0] % 4, 0, 0, 0, fields[1], fields[2] % 2, 0, 0, 0, 0, 0, 0, fields[3] % 9, 0, 0, 0];
        bytes.extend(tail);
        let _ = read(&bytes);
    }

    #[test]
    fn no_bytes_behind_a_level_5_header_panic(
        words in prop::collection::vec(prop_oneof![0_u32..20, any::<u32>(), Just(14), Just(15), Just(8)], 0..80),
        big_endian in any::<bool>(),
    ) {
        let empty = Matrix { big_endian, ..Matrix::row(&[], I16) };
        let body = words.iter().flat_map(|word| if big_endian { word.to_be_bytes() } else { word.to_le_bytes() });
        for compressed in [false, true] {
            let _ = read(&empty.level5_file(&[body.clone().collect()], compressed));
        }
    }

    #[test]
    fn no_flipped_pair_of_bytes_panics(which in 0..12_usize, at in any::<[prop::sample::Index; 2]>(), to in any::<[u8; 2]>()) {
        let mut file = small_files().swap_remove(which);
        for (at, to) in at.iter().zip(to) {
            let index = at.index(file.len());
            file[index] = to;
        }
        let _ = read(&file);
    }

    #[test]
    fn no_text_panics(text in "(#[a-z]{0,5}\n)?r[/0-9]{0,2} [0-9]{1,2}( [0-9./()e-]{1,6}){0,3}\n(r.dat [0-9x:+-]{1,9}( [0-9()/mVu.-]{1,6}){0,7}\n){0,3}") {
        let folder = Folder::new();
        folder.write("r.dat", [7; 2000]);
        let path = folder.write("r.hea", text);
        let _ = Record::open(&path);
        let _ = Record::open_with(&path, &OpenOptions::new().lead("0").sampling_rate_hz(300.0));
    }
}
