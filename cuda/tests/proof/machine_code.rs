//! Every kernel compiles to machine code for every architecture, within the resources that are recorded.

use crate::program::folder;
use dualnet_cuda::pau::{ORDERS, Pau};
use dualnet_cuda::{Archive, Element, Precision, lstm};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

const ARCHITECTURES: [i32; 7] = [80, 86, 87, 89, 90, 100, 120];
const FAMILIES: [&str; 10] = [
    "axial",
    "chain",
    "head",
    "lstm",
    "pau",
    "preprocess",
    "probe",
    "residual",
    "site",
    "transformer",
];

/// The folder of what the pinned compiler makes of these sources; it is compiled once.
fn compiled() -> PathBuf {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(&python)
        .arg(folder().join("tools/compile.py"))
        .output()
        .unwrap_or_else(|error| {
            panic!("{python} cannot be run ({error}): compiling the kernels needs Python 3 with pip")
        });
    assert!(
        output.status.success(),
        "the kernels do not compile:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

type Table = BTreeMap<(String, String), [u32; 4]>;

/// `resources.csv`: registers, shared, stack and spilled bytes by kernel and architecture.
fn table(text: &str) -> Table {
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("kernel,architecture,registers,shared_bytes,stack_bytes,spill_bytes")
    );
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let number = |index: usize| fields[index].parse().expect("a number");
            let key = (fields[0].to_owned(), fields[1].to_owned());
            (key, [number(2), number(3), number(4), number(5)])
        })
        .collect()
}

/// The compiler is pinned, so the record is exact; `compile.py --record` renews it, and refuses where spills grow.
#[test]
fn registers_and_spills_are_the_recorded_ones() {
    let read = |path: PathBuf| {
        table(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    };
    let (found, recorded) = (
        read(compiled().join("resources.csv")),
        read(folder().join("resources.csv")),
    );
    for (key, row) in &found {
        let before = recorded.get(key);
        assert!(
            before.is_none_or(|before| row[3] <= before[3]),
            "{} spills more on {}: {row:?}, recorded {before:?}",
            key.0,
            key.1
        );
    }
    assert!(
        found == recorded,
        "cuda/resources.csv is out of date: `make kernels RECORD=1` renews it"
    );
    let mut names: Vec<String> = Vec::new();
    for (m, n) in ORDERS {
        for element in Element::ALL {
            let pau = Pau::new(element, m + 1, n).expect("a listed order");
            assert_eq!(pau.order(), (m, n));
            names.extend(["forward", "backward"].map(|what| format!("pau_{what}_{}_{m}_{n}", element.name())));
        }
    }
    names.extend(Element::ALL.map(|element| format!("preprocess_{}", element.name())));
    names.push("pau_gradients".to_owned());
    for precision in Precision::ALL {
        let name = precision.name();
        names.push(format!("lstm_project_{name}"));
        names.extend(lstm::HIDDEN.map(|hidden| format!("lstm_steps_{name}_{hidden}")));
        let chained = lstm::HIDDEN.into_iter().filter(|&hidden| hidden < 512 || name != "f32");
        names.extend(chained.map(|hidden| format!("chain_{name}_{hidden}")));
        names.extend(["attend", "feed"].map(|what| format!("transformer_{what}_{name}_80_256")));
        names.extend([3, 5, 9].map(|tiles| format!("axial_{name}_{tiles}")));
        names.extend([2, 4, 8].map(|span| format!("axial_short_{name}_{span}")));
        names.push(format!("head_{}", precision.name()));
        for split in ["", "_split"] {
            names.push(format!("residual_convolution_{0}_{0}{split}", precision.name()));
        }
        names.push(format!("residual_pool_{0}_{0}", precision.name()));
        names.push(format!("residual_pool_{}_i8", precision.name()));
    }
    names.extend(Element::ALL.map(|element| format!("residual_single_{0}_{0}", element.name())));
    let others = [
        "transformer_mean_80_256",
        "head_conditions",
        "residual_convolution_i8_f32",
        "residual_convolution_i8_f32_split",
        "residual_pool_i8_f32",
        "residual_single_f32_i8",
        "site_moments",
        "site_lines",
        "site_forward",
        "site_forward_pooled",
        "site_backward",
        "site_gradients",
        "site_unit_gradients",
        "site_input",
    ];
    names.extend(others.map(str::to_owned));
    for name in names {
        for architecture in ARCHITECTURES {
            let key = (name.clone(), format!("sm_{architecture}"));
            assert!(found.contains_key(&key), "no {name} for sm_{architecture}");
        }
    }
}

#[test]
fn the_archive_has_machine_code_of_every_family_and_is_small() {
    let bytes = std::fs::read(compiled().join("kernels.bin")).expect("the archive");
    assert!(bytes.len() < 15 << 20, "{} bytes", bytes.len());
    let archive = Archive::parse(&bytes).expect("an archive");
    for family in FAMILIES {
        for architecture in ARCHITECTURES {
            let code = archive
                .code(family, architecture / 10, architecture % 10)
                .expect("machine code");
            // An ELF file for the machine EM_CUDA.
            assert_eq!(code[..4], *b"\x7fELF", "{family} for sm_{architecture}");
            assert_eq!(code[18..20], [190, 0], "{family} for sm_{architecture}");
        }
        let ptx = archive.code(family, 99, 0).expect("PTX");
        assert!(ptx.ends_with(b"\0") && String::from_utf8_lossy(&ptx).contains(".target sm_90"));
    }
    assert_eq!(archive.contents().count(), FAMILIES.len() * (ARCHITECTURES.len() + 1));
}
