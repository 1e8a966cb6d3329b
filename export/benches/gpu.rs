//! What a GPU takes for a record and for the Padé activation: `gpu RESULT.json [NETWORK…]`. Exit status 3: there is no GPU, nothing was
//! measured.
//!
//! Times are the GPU's own, between events, from raw samples in its memory to probabilities there; median over repeats. Weights are those of the
//! golden rule: no time depends on them.

use dualnet_cuda::pau::{Coefficients, Pau};
use dualnet_cuda::{CudaError, Device, DeviceMemory, Element, Event, Launch};
use dualnet_engine::gpu::Runtime;
use dualnet_engine::{Model, Precision, Record};
use dualnet_export::network::{Network, preset};
use dualnet_export::onnx::{Card, export};
use dualnet_export::quantize::{Recordings, quantize, sensitive};
use dualnet_fixtures::{GoldenNetwork, median, records_dir};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

#[path = "../tests/common/mod.rs"]
mod common;

const BATCHES: [usize; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
const NETWORKS: [&str; 4] = ["dualnet-s", "dualnet-xl", "dualnet-pp-s", "dualnet-pp-xl"];
const PAU_ELEMENTS: [usize; 3] = [1 << 20, 1 << 23, 1 << 26];
const REPEATS: usize = 50;
/// Milliseconds that the repeats of one batch should not exceed by much.
const LONGEST_MS: f32 = 500.0;

fn files(name: &str) -> [(Precision, Model); 3] {
    let config = preset(name).expect("a preset");
    let state = common::golden_state(&config, &GoldenNetwork::read(name).salt);
    let network = Network::new(config).expect("a valid configuration");
    let float = export(&network, &state, Path::new("golden weights"), &Card::default()).expect("an exportable network");
    let recordings = Recordings::draw(&records_dir(), None, 1, 0).expect("records");
    let model = Model::from_bytes(name, &float).expect("a model file");
    let keep_float = sensitive(&model);
    let int8 = quantize(&model, &float, &recordings, &keep_float, &Card::default(), |_| {}).expect("a quantized file");
    let open = |bytes: &[u8]| Model::from_bytes(name, bytes).unwrap_or_else(|error| panic!("{error}"));
    [
        (Precision::Int8, open(&int8.bytes)),
        (Precision::F16, open(&float)),
        (Precision::F32, open(&float)),
    ]
}

/// Every batch that the GPU has memory for.
fn network(name: &str, precision: Precision, model: &Model, record: &Record) -> Value {
    let mut times = Vec::new();
    for batch in BATCHES {
        let measured = Runtime::open(model, precision, batch).and_then(|mut runtime| {
            let trial = median(runtime.measure(record, batch, 3)?) as f32;
            let repeats = (LONGEST_MS / trial) as usize;
            runtime.measure(record, batch, repeats.clamp(5, REPEATS))
        });
        times.push(match measured {
            Ok(all) => {
                let milliseconds = median(all) as f32;
                eprintln!("{name} {precision}, {batch} records: {milliseconds:.3} ms");
                json!({
                    "batch": batch,
                    "ms": milliseconds,
                    "records_per_s": batch as f32 * 1e3 / milliseconds,
                })
            }
            Err(error) => json!({ "batch": batch, "note": error.to_string() }),
        });
    }
    json!({ "network": name, "precision": precision, "times": times })
}

/// Median milliseconds of `work`, queued on a stream.
fn timed(
    device: &Device,
    mut work: impl FnMut(&dualnet_cuda::Stream) -> Result<(), CudaError>,
) -> Result<f32, CudaError> {
    let stream = device.stream()?;
    work(&stream)?;
    stream.synchronize()?;
    let events = (0..=REPEATS)
        .map(|_| device.event(true))
        .collect::<Result<Vec<Event>, CudaError>>()?;
    stream.record(&events[0])?;
    for event in &events[1..] {
        work(&stream)?;
        stream.record(event)?;
    }
    stream.synchronize()?;
    let times = events.windows(2).map(|pair| pair[0].milliseconds_to(&pair[1]));
    Ok(median(times.collect::<Result<Vec<f32>, CudaError>>()?) as f32)
}

/// The activation's times beside a copy of as many bytes.
fn activation(device: &Device, element: Element, count: usize) -> Result<Value, CudaError> {
    let bytes = count * element.bytes();
    let pau = Pau::new(element, 6, 4)?;
    let map = || device.allocate(bytes);
    let (mut x, mut grad_y, y) = (map()?, map()?, map()?);
    // Any finite values: 0x3c3c is 1.05 in f16, 0.01 in bf16 and f32.
    x.write(0, &vec![0x3c; bytes])?;
    grad_y.write(0, &vec![0x3c; bytes])?;
    let small = |values: &[f32]| -> Result<DeviceMemory, CudaError> {
        let mut memory = device.allocate(size_of_val(values))?;
        memory.write(
            0,
            &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>(),
        )?;
        Ok(memory)
    };
    let unit = [small(&[0.03, 0.5, 1.6, 2.0, 0.9, 0.15])?, small(&[0.0, 4.0, 0.0, 0.3])?];
    let gradients = [small(&[0.0; 6])?, small(&[0.0; 4])?];
    let partials = device.allocate(pau.partials(count as u64) as usize * size_of::<f32>())?;
    let address = |[numerator, denominator]: &[DeviceMemory; 2]| Coefficients {
        numerator: numerator.address(),
        denominator: denominator.address(),
    };
    let forward = pau.forward(x.address(), y.address(), address(&unit), count as u64)?;
    let maps = [x.address(), grad_y.address(), y.address()];
    let backward = pau.backward(
        maps,
        partials.address(),
        address(&unit),
        address(&gradients),
        count as u64,
    )?;
    let mut module = device.load("pau")?;
    let mut run = |launches: &[Launch<u64>]| {
        timed(device, |stream| {
            launches
                .iter()
                // SAFETY: all memory was allocated above with the sizes that the launcher states; it and the module live until `timed` has waited.
                .try_for_each(|launch| unsafe { module.run(launch, stream.handle()) })
        })
    };
    let (forward, backward) = (run(&forward)?, run(&backward)?);
    // SAFETY: both have as many bytes and live until `timed` has waited.
    let copy = timed(device, |stream| unsafe { stream.copy(&x, &y, bytes) })?;
    // A copy reads and writes as many bytes as forward; backward reads two maps and writes one.
    Ok(json!({
        "element": element.name(),
        "elements": count,
        "forward_ms": forward,
        "backward_ms": backward,
        "copy_ms": copy,
        "copy_gb_per_s": 2.0 * bytes as f32 / copy / 1e6,
        "forward_of_copy_bandwidth": copy / forward,
        "backward_of_copy_bandwidth": 1.5 * copy / backward,
    }))
}

/// Measures everything and hands over what is known after each network, so that a run that is cut off leaves its part.
fn measure(device: &Device, names: &[String], save: impl Fn(&Value) -> Result<(), String>) -> Result<(), String> {
    let record = Record::open(records_dir().join("A00001.mat")).map_err(|error| error.to_string())?;
    let (free, total) = device.memory().unwrap_or((0, 0));
    let mut known = json!({
        "gpu": device.name().unwrap_or_default(),
        "capability": device.capability(),
        "free_bytes": free,
        "total_bytes": total,
    });
    let mut activations = Vec::new();
    for element in Element::ALL {
        for count in PAU_ELEMENTS {
            let measured = activation(device, element, count);
            activations.push(measured.unwrap_or_else(|error| json!({ "note": error.to_string() })));
        }
    }
    known["pau"] = json!(activations);
    save(&known)?;
    let mut networks = Vec::new();
    let is_wanted = |name: &&str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    for name in NETWORKS.into_iter().filter(is_wanted) {
        for (precision, model) in files(name) {
            networks.push(network(name, precision, &model, &record));
        }
        known["networks"] = json!(networks);
        save(&known)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    // `cargo bench` passes flags of its own.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let Some(result) = arguments.next() else {
        eprintln!("gpu: names no file for its results; nothing was measured");
        return ExitCode::SUCCESS;
    };
    let device = match Device::open(0) {
        Ok(device) => device,
        Err(error @ (CudaError::NoDriver | CudaError::NoDevice)) => {
            eprintln!("skipped, nothing ran on a GPU: {error}");
            return ExitCode::from(3);
        }
        Err(error) => {
            eprintln!("gpu: {error}");
            return ExitCode::FAILURE;
        }
    };
    let names: Vec<String> = arguments.collect();
    let written = measure(&device, &names, |known| {
        let text = serde_json::to_string_pretty(known).map_err(|error| error.to_string())?;
        std::fs::write(&result, text + "\n").map_err(|error| format!("{result}: {error}"))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
