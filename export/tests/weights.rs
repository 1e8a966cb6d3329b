//! Reading and writing weights: the golden `.pt`, round trips, and files made to do harm.

use dualnet_export::network::Network;
use dualnet_export::weights::{Data, StateDict, Tensor, WeightsError};
use dualnet_fixtures::{GoldenNetwork, golden_dir, golden_weight};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;

const PT: &str = "checkpoints/dualnet-s.pt";

fn golden_pt() -> PathBuf {
    golden_dir().join(PT)
}

/// A folder that disappears with the test.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn open_bytes(bytes: &[u8]) -> Result<StateDict, WeightsError> {
    let folder = folder();
    let path = folder.path().join("weights.pt");
    std::fs::write(&path, bytes).unwrap();
    StateDict::open(&path)
}

fn error_of(bytes: &[u8]) -> String {
    let message = open_bytes(bytes).expect_err("the file is malformed").to_string();
    assert!(message.contains("weights.pt: "), "names the file: {message}");
    assert!(!message.contains('\n'), "is one line: {message}");
    message
}

#[test]
fn golden_pt_holds_the_weights_of_the_rule() {
    let golden = GoldenNetwork::read("dualnet-s");
    let state = StateDict::open(golden_pt()).unwrap();
    assert_eq!(state.tensors.len(), golden.state_dict.len());
    let network = Network::preset("dualnet-s").unwrap();
    state.check(&golden_pt(), &network.parameters()).unwrap();
    let mut compared = 0;
    for parameter in network.parameters() {
        let tensor = state.get(&parameter.name).unwrap();
        assert_eq!(tensor.shape(), golden.state_dict[&parameter.name], "{}", parameter.name);
        let Data::F32(values) = tensor.data() else {
            assert_eq!(tensor.as_i64(), Some(&[0][..]), "{}", parameter.name);
            continue;
        };
        let initial: Vec<f32> = match &parameter.initial {
            dualnet_export::network::Initial::Values(values) => values.iter().map(|&v| v as f32).collect(),
            _ => Vec::new(),
        };
        assert_eq!(
            *values,
            golden_weight(&golden.salt, &parameter.name, &parameter.shape, &initial),
            "{}",
            parameter.name
        );
        compared += values.len();
    }
    println!("{PT}: {compared} numbers compared");
    assert!(
        compared >= golden.parameters,
        "{compared} numbers of {} parameters",
        golden.parameters
    );
}

#[test]
fn safetensors_round_trip_with_metadata_and_stable_bytes() {
    let folder = folder();
    let (first, second) = (
        folder.path().join("first.safetensors"),
        folder.path().join("second.safetensors"),
    );
    let mut state = StateDict::open(golden_pt()).unwrap();
    state
        .tensors
        .insert("optimizer.step".to_owned(), Tensor::i64(&[], vec![i64::MIN]).unwrap());
    state
        .tensors
        .insert("optimizer.none".to_owned(), Tensor::f32(&[0, 3], vec![]).unwrap());
    for key in ["dualnet.training", "a \"quoted\"\nkey", "z"] {
        state.metadata.insert(key.to_owned(), format!("{key}: é"));
    }
    state.save(&first).unwrap();
    let read = StateDict::open(&first).unwrap();
    assert_eq!(read, state);
    read.save(&second).unwrap();
    assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        2,
        "nothing is left beside"
    );
}

#[test]
fn saving_where_nothing_can_be_written_leaves_nothing() {
    let folder = folder();
    let error = StateDict::default()
        .save(folder.path().join("missing/weights.safetensors"))
        .unwrap_err();
    assert!(matches!(error, WeightsError::Io { .. }), "{error}");
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("file"), b"").unwrap();
    StateDict::default().save(&taken).unwrap_err();
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left beside"
    );
}

#[test]
fn narrow_and_wide_elements_become_float32_and_int64() {
    let header = br#"{"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[4,6]},"d":{"dtype":"F64","shape":[1],"data_offsets":[6,14]},"i":{"dtype":"I32","shape":[1],"data_offsets":[14,18]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend([0x00, 0x3c, 0x00, 0xc0, 0x80, 0x3f]);
    file.extend(0.25_f64.to_le_bytes());
    file.extend((-7_i32).to_le_bytes());
    let state = open_bytes(&file).unwrap();
    assert_eq!(state.get("h").unwrap().as_f32(), Some(&[1.0, -2.0][..]));
    assert_eq!(state.get("b").unwrap().as_f32(), Some(&[1.0][..]));
    assert_eq!(state.get("d").unwrap().as_f32(), Some(&[0.25][..]));
    assert_eq!(state.get("i").unwrap().as_i64(), Some(&[-7][..]));

    let header = br#"{"u":{"dtype":"U32","shape":[1],"data_offsets":[0,4]}}"#;
    let message = error_of(&[&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat());
    assert!(
        message.contains("`u` has element type U32; supported are F16, BF16, F32, "),
        "{message}"
    );
}

#[test]
fn the_data_parallel_prefix_is_dropped() {
    let folder = folder();
    let path = folder.path().join("parallel.safetensors");
    let tensor = || Tensor::f32(&[1], vec![1.0]).unwrap();
    let mut state = StateDict::default();
    state.tensors.insert("module.linear.bias".to_owned(), tensor());
    state.tensors.insert("linear.weight".to_owned(), tensor());
    state.save(&path).unwrap();
    let read = StateDict::open(&path).unwrap();
    assert_eq!(
        read.tensors.keys().collect::<Vec<_>>(),
        ["linear.bias", "linear.weight"]
    );
    state.tensors.insert("linear.bias".to_owned(), tensor());
    state.save(&path).unwrap();
    assert!(
        StateDict::open(&path)
            .unwrap_err()
            .to_string()
            .contains("`linear.bias` is there twice")
    );
}

#[test]
fn wrong_weights_are_named() {
    let parameters = Network::preset("dualnet-s").unwrap().parameters();
    let right = StateDict::open(golden_pt()).unwrap();
    let said = |change: &dyn Fn(&mut StateDict)| {
        let mut state = right.clone();
        change(&mut state);
        state
            .check(Path::new("weights.pt"), &parameters)
            .expect_err("these weights are wrong")
            .to_string()
    };
    let bias = "linear_layer_2.bias";
    let set = |state: &mut StateDict, name: &str, shape: &[usize], values: Vec<f32>| {
        state
            .tensors
            .insert(name.to_owned(), Tensor::f32(shape, values).unwrap());
    };
    assert_eq!(
        said(&|state| drop(state.tensors.remove(bias))),
        "weights.pt: missing: `linear_layer_2.bias`"
    );
    assert_eq!(
        said(&|state| set(state, "stray", &[1], vec![0.0])),
        "weights.pt: not in the network: `stray`"
    );
    assert_eq!(
        said(&|state| set(state, bias, &[2], vec![0.0; 2])),
        "weights.pt: wrong shape: `linear_layer_2.bias` is float32 [2], expected float32 [4]"
    );
    for value in [f32::NAN, f32::INFINITY] {
        assert_eq!(
            said(&|state| set(state, bias, &[4], vec![0.0, value, 0.0, 0.0])),
            "weights.pt: NaN or infinite: `linear_layer_2.bias`"
        );
    }
    let counter = "spectrogram_encoder.0.main_mapping_norm_1.batch_normalization.num_batches_tracked";
    assert!(said(&|state| set(state, counter, &[2], vec![0.0; 2])).contains(counter));
    let variance = "spectrogram_encoder.0.main_mapping_norm_1.batch_normalization.running_var";
    assert!(said(&|state| set(state, variance, &[16], vec![-1.0; 16])).contains("negative variance"));
    assert!(said(&|state| state.tensors.clear()).ends_with(" more"));
    let mut relaxed = right.clone();
    relaxed.tensors.remove(counter);
    set(&mut relaxed, "optimizer.exp_avg.stray", &[1], vec![f32::NAN]);
    relaxed
        .check(Path::new("weights.pt"), &parameters)
        .expect("counters are optional, optimizer state is passed over");
}

// ---- hostile files

/// A `.pt` of one `data.pkl` and storages `0`, `1`, ….
fn archive(pickle: &[u8], storages: &[&[u8]]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("a/data.pkl", stored).unwrap();
    zip.write_all(pickle).unwrap();
    for (key, bytes) in storages.iter().enumerate() {
        zip.start_file(format!("a/data/{key}"), stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn text(text: &str) -> Vec<u8> {
    [&[0x8c, text.len() as u8][..], text.as_bytes()].concat()
}

fn integer(value: i64) -> Vec<u8> {
    [&[0x8a, 8][..], &value.to_le_bytes()].concat()
}

fn tuple(values: &[i64]) -> Vec<u8> {
    let items: Vec<u8> = values.iter().flat_map(|&value| integer(value)).collect();
    [b"(", items.as_slice(), b"t"].concat()
}

/// `{"w": a tensor seen through the given storage reference and view}`.
fn pickle_of(class: &str, elements: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    [
        b"\x80\x02}".as_slice(),
        &text("w"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage"),
        format!("ctorch\n{class}\n").as_bytes(),
        &text("0"),
        &text("cpu"),
        &integer(elements),
        b"tQ",
        &integer(offset),
        &tuple(shape),
        &tuple(strides),
        b"\x89NtRs.",
    ]
    .concat()
}

fn view(elements: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let storage: Vec<u8> = (0..6_i16).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    archive(
        &pickle_of("FloatStorage", elements, offset, shape, strides),
        &[&storage],
    )
}

#[test]
fn strides_and_offsets_are_honoured() {
    let read = |offset, shape: &[i64], strides: &[i64]| {
        open_bytes(&view(6, offset, shape, strides))
            .unwrap()
            .get("w")
            .unwrap()
            .as_f32()
            .unwrap()
            .to_vec()
    };
    assert_eq!(read(0, &[2, 3], &[3, 1]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(read(0, &[3, 2], &[1, 3]), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(read(1, &[2], &[4]), [1.0, 5.0]);
    assert_eq!(read(5, &[], &[]), [5.0]);
    assert_eq!(read(2, &[3], &[0]), [2.0, 2.0, 2.0]);
    assert!(read(6, &[0, 4], &[4, 1]).is_empty());
}

#[test]
fn views_outside_their_storage_are_refused() {
    for (elements, offset, shape, strides) in [
        (6, 0, &[7][..], &[1][..]),
        (6, 1, &[6], &[1]),
        (6, 6, &[], &[]),
        (6, -1, &[1], &[1]),
        (6, 0, &[-1], &[1]),
        (6, 0, &[2], &[-1]),
        (6, 0, &[2], &[i64::MAX]),
        (6, 0, &[2, 2], &[1]),
        (6, 0, &[i64::MAX, i64::MAX], &[0, 0]),
        (6, 0, &[1 << 40], &[0]),
        (6, i64::MAX, &[2], &[1]),
        (7, 0, &[6], &[1]),
        (-1, 0, &[6], &[1]),
        (6, 0, &[1; 9], &[1; 9]),
    ] {
        error_of(&view(elements, offset, shape, strides));
    }
    assert!(error_of(&archive(&pickle_of("FloatStorage", 1, 0, &[1], &[1]), &[])).contains("a/data/0"));
    let uneven = error_of(&archive(&pickle_of("FloatStorage", 1, 0, &[1], &[1]), &[&[0; 5]]));
    assert!(
        uneven.contains("`w`") && uneven.contains("no multiple of 4"),
        "{uneven}"
    );
}

#[test]
fn every_storage_class_is_read() {
    for (class, bytes, expected) in [
        ("DoubleStorage", 1.5_f64.to_le_bytes().to_vec(), Data::F32(vec![1.5])),
        ("HalfStorage", vec![0, 0x3e], Data::F32(vec![1.5])),
        ("BFloat16Storage", vec![0xc0, 0x3f], Data::F32(vec![1.5])),
        ("LongStorage", (-3_i64).to_le_bytes().to_vec(), Data::I64(vec![-3])),
        ("IntStorage", (-3_i32).to_le_bytes().to_vec(), Data::I64(vec![-3])),
        ("ShortStorage", (-3_i16).to_le_bytes().to_vec(), Data::I64(vec![-3])),
        ("CharStorage", vec![0xfd], Data::I64(vec![-3])),
        ("ByteStorage", vec![0xfd], Data::I64(vec![253])),
        ("BoolStorage", vec![1], Data::I64(vec![1])),
    ] {
        let state = open_bytes(&archive(&pickle_of(class, 1, 0, &[1], &[1]), &[&bytes])).unwrap();
        assert_eq!(*state.get("w").unwrap().data(), expected, "{class}");
    }
    let unknown = error_of(&archive(&pickle_of("QInt8Storage", 1, 0, &[1], &[1]), &[&[0]]));
    assert!(
        unknown.contains("torch.QInt8Storage") && unknown.contains("supported are those of FloatStorage, "),
        "{unknown}"
    );
}

#[test]
fn a_storage_has_elements_of_one_type() {
    let pickle = |classes: [&str; 2]| {
        let mut pickle = b"\x80\x02}(".to_vec();
        for (name, class) in ["a", "b"].iter().zip(classes) {
            let one = pickle_of(class, 1, 0, &[1], &[1]);
            pickle.extend(text(name));
            pickle.extend(&one[3 + 3..one.len() - 2]);
        }
        pickle.extend(b"u.");
        archive(&pickle, &[&[0; 4]])
    };
    open_bytes(&pickle(["FloatStorage"; 2])).expect("two views of one storage");
    let message = error_of(&pickle(["FloatStorage", "IntStorage"]));
    assert!(
        message.contains("`b` lies in storage 0 of F32, said to be of I32"),
        "{message}"
    );
}

#[test]
fn nothing_is_executed() {
    let call = [b"\x80\x02cos\nsystem\n".as_slice(), &text("echo"), b"\x85R."].concat();
    let message = error_of(&archive(&call, &[]));
    assert!(
        message.contains("`os.system` is not allowed") && message.contains("byte 2"),
        "{message}"
    );
    let stacked = [b"\x80\x04".as_slice(), &text("builtins"), &text("eval"), b"\x93."].concat();
    assert!(error_of(&archive(&stacked, &[])).contains("`builtins.eval`"));
    let whole_model = [b"\x80\x02c__main__\nNet\n".as_slice(), b")\x81."].concat();
    assert!(error_of(&archive(&whole_model, &[])).contains("`__main__.Net`"));
}

#[test]
fn other_things_than_state_dicts_are_refused() {
    for (pickle, expected) in [
        (&b""[..], "in the middle"),
        (b"\x80\x02", "in the middle"),
        (b"\x80\x09.", "protocol 9"),
        (b"\x80\x02.", "stack is empty"),
        (b"\x80\x02K\x01.", "holds an integer"),
        (b"\x80\x02}K\x01K\x02s.", "an integer as a key"),
        (b"\x80\x02}X\x05\x00\x00\x00epochK\x02s.", "`epoch` is an integer"),
        (b"\x80\x02}X\x02\x00\x00\x00\xff\xfeNs.", "not UTF-8"),
        (b"\x80\x02}X\xff\xff\xff\xffNs.", "in the middle"),
        (b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "in the middle"),
        (b"\x80\x02j\xff\xff\xff\xff.", "never remembered"),
        (b"\x80\x02}q\x00(h\x00u.", "without a value"),
        (b"\x80\x02}(s.", "stack is empty"),
        (b"\x80\x02u.", "no mark"),
        (b"\x80\x02NNs.", "stack is empty"),
        (b"\x80\x02N}b.", "attributes of None"),
        (b"\x80\x02i", "0x69"),
        (b"\x80\x02\x8a\xff", "in the middle"),
        (b"\x80\x02)Q.", "0 parts"),
        (b"\x80\x02})R.", "a dict is called"),
        (b"\x80\x02ctorch\n", "in the middle"),
    ] {
        let message = error_of(&archive(pickle, &[]));
        assert!(message.contains(expected), "{}: {message}", pickle.escape_ascii());
    }
}

#[test]
fn deep_or_circular_values_do_not_exhaust_the_stack() {
    let deep = [b"\x80\x02)".as_slice(), &vec![0x85; 1_000_000], b"."].concat();
    assert!(error_of(&archive(&deep, &[])).contains("a tuple or list"));
    let circular = [b"\x80\x02}q\x00".as_slice(), &text("self"), b"h\x00s."].concat();
    assert!(error_of(&archive(&circular, &[])).contains("`self` is a dict"));
}

/// The pickle of one tensor of `rank` sizes and strides on the stack, remembered as 1, and behind it what `then` says.
fn remembered(rank: usize, then: &[u8]) -> Vec<u8> {
    let one = pickle_of("FloatStorage", 1, 0, &vec![1; rank], &vec![1; rank]);
    [&[0x80, 2], &one[3 + 3..one.len() - 2], b"q\x01", then].concat()
}

/// 4 MiB of text, called by two bytes 500 000 times, would be terabytes of names.
#[test]
fn a_name_is_short_and_there_once() {
    let long = [b"X\x00\x00\x40\x00".as_slice(), &vec![b'n'; 4 << 20], b"q\x00"].concat();
    let entries = b"h\x00h\x01".repeat(500_000);
    let pickle = [remembered(1, &long), b"}(".to_vec(), entries, b"u.".to_vec()].concat();
    let message = error_of(&archive(&pickle, &[&[0; 4]]));
    assert!(message.contains("name of 4194304 bytes; at most 1024"), "{message}");
    let twice = [
        remembered(1, b"}("),
        text("w"),
        b"h\x01".to_vec(),
        text("w"),
        b"h\x01u.".to_vec(),
    ]
    .concat();
    let message = error_of(&archive(&twice, &[&[0; 4]]));
    assert!(message.contains("`w` is there twice"), "{message}");
}

#[test]
fn tensors_have_few_sizes_and_are_few() {
    let message = error_of(&archive(&remembered(9, b"."), &[&[0; 4]]));
    assert!(message.contains("9 sizes or strides; at most 8"), "{message}");
    let call = [
        b"ctorch._utils\n_rebuild_tensor_v2\nq\x00(".as_slice(),
        b"(",
        &text("storage"),
    ]
    .concat();
    let storage = [
        b"ctorch\nFloatStorage\n".as_slice(),
        &text("0"),
        &text("cpu"),
        b"K\x01tQ",
    ]
    .concat();
    let first = [call, storage, b"K\x00))tq\x01R".to_vec()].concat();
    let pickle = [b"\x80\x02".as_slice(), &first, &b"h\x00h\x01R".repeat(100_000), b"."].concat();
    let message = error_of(&archive(&pickle, &[&[0; 4]]));
    assert!(message.contains("more than 65536 tensors"), "{message}");
}

#[test]
fn a_pickle_that_is_too_large_is_not_read() {
    assert!(error_of(&archive(&vec![b'N'; (8 << 20) + 1], &[])).contains("at most"));
}

#[test]
fn shared_storages_cannot_multiply_the_file() {
    let mut pickle = b"\x80\x02}(".to_vec();
    for name in 0..200 {
        let one = pickle_of("FloatStorage", 1 << 10, 0, &[1 << 10], &[1]);
        pickle.extend(text(&format!("w{name}")));
        pickle.extend(&one[3 + 3..one.len() - 2]);
    }
    pickle.extend(b"u.");
    let message = error_of(&archive(&pickle, &[&[0; 4 << 10]]));
    assert!(
        message.contains("more tensor elements than its size allows"),
        "{message}"
    );
}

#[test]
fn every_truncation_of_the_golden_file_is_an_error() {
    let bytes = std::fs::read(golden_pt()).unwrap();
    let cuts = (0..64)
        .chain((0..64).map(|i| bytes.len() * i / 64))
        .chain(bytes.len() - 64..bytes.len());
    for cut in cuts {
        assert!(open_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_flipped_byte_is_noticed() {
    let bytes = std::fs::read(golden_pt()).unwrap();
    let mut flipped = bytes.clone();
    let position = bytes.len() / 2;
    flipped[position] ^= 0x10;
    assert!(error_of(&flipped).contains("heck"), "the archive's checksum fails");
}

#[test]
fn declared_sizes_are_held_to_the_real_ones() {
    let bytes = view(6, 0, &[6], &[1]);
    let central = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    for (field, value) in [
        (20, u32::MAX - 1),
        (24, u32::MAX - 1),
        (20, 1 << 20),
        (24, 1 << 20),
        (24, 3),
    ] {
        let mut hostile = bytes.clone();
        hostile[central + field..central + field + 4].copy_from_slice(&value.to_le_bytes());
        error_of(&hostile);
    }
    let mut deflated = bytes;
    deflated[central + 10] = 8;
    error_of(&deflated);
}

#[test]
fn files_of_another_kind_are_refused() {
    assert!(error_of(b"").contains("is empty"));
    assert!(error_of(b"PK").contains("zip"));
    assert!(error_of(b"hello, this is a text").contains("neither"));
    assert!(error_of(&[0xff; 64]).contains("neither"));
    assert!(error_of(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.").contains("before version 1.6"));
    let nothing = zip::ZipWriter::new(Cursor::new(Vec::new()))
        .finish()
        .unwrap()
        .into_inner();
    assert!(error_of(&nothing).contains("data.pkl"));
    let folder = folder();
    assert!(matches!(
        StateDict::open(folder.path().join("none.pt")),
        Err(WeightsError::Io { .. })
    ));
    assert!(matches!(StateDict::open(folder.path()), Err(WeightsError::Io { .. })));
}
