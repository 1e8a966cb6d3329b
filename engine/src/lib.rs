//! Finds atrial fibrillation in a short single-lead ECG, with an ECG-DualNet (Rohr et al. 2022, *Physiological Measurement*
//! 43(7)).
//!
//! ```no_run
//! use dualnet_engine::{Classifier, Model, Options, Record};
//!
//! let classifier = Classifier::new(Model::open("dualnet-s.onnx")?, Options::default())?;
//! let prediction = classifier.classify(&Record::open("A00001.mat")?)?;
//! println!("{}: {}", prediction.record, prediction.class);
//! # Ok::<(), dualnet_engine::Error>(())
//! ```
//!
//! A [`Record`] is read from a file ([`record`]), turned into the network's two inputs ([`signal`]), and given to a
//! [`Model`] ([`mod@model`]) that a runtime ([`cpu`]) evaluates; [`Classifier`] does all of it. With the feature `embedded`,
//! on by default, `Model::embedded` is a trained network inside the library.
//!
//! It is research software, not a medical device: do not diagnose with it.

pub mod beats;
pub mod bounded;
pub mod classifier;
pub mod cpu;
mod error;
pub mod gpu;
pub mod model;
pub mod pau;
pub mod pending;
pub mod plan;
pub mod random;
pub mod record;
pub mod score;
pub mod signal;
pub mod simd;
mod statistics;

pub use classifier::{Classifier, Device, Options, Precision, Prediction, Probabilities};
pub use error::Error;
pub use model::{Model, ModelCard};
pub use record::Record;
