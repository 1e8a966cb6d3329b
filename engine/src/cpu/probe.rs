//! Looks at values inside a network, one record at a time: what calibration measures.

use tract_onnx::pb::ValueInfoProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::model::TypedSimpleState;

use super::runtime::{check_input, inputs};
use super::{RunError, panics, tract};
use crate::model::{ECG, Model, ModelError, ModelFault, SPECTROGRAM, one_line};
use crate::signal::{ECG_LEN, SPECTROGRAM_LEN};

/// A model on tract, with named values of its graph as further outputs.
pub struct Probe {
    state: TypedSimpleState,
    values: Vec<Place>,
}

/// Where a value is found.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Ecg,
    Spectrogram,
    Output(usize),
}

impl Probe {
    /// Prepares `model` to show `values`: names of inputs or of values that nodes compute, all of them floats.
    ///
    /// # Errors
    /// [`ModelFault::Prepare`] when a value is not there, or the runtime cannot run the model.
    pub fn new(model: &Model, values: &[String]) -> Result<Self, ModelError> {
        let mut proto = model.proto().clone();
        let mut places = Vec::new();
        for value in values {
            places.push(match value.as_str() {
                ECG => Place::Ecg,
                SPECTROGRAM => Place::Spectrogram,
                name => {
                    let outputs = proto.graph.get_or_insert_default();
                    outputs.output.push(ValueInfoProto {
                        name: name.to_owned(),
                        ..ValueInfoProto::default()
                    });
                    Place::Output(outputs.output.len() - 1)
                }
            });
        }
        let computed = |name: &str| {
            let graph = proto.graph.as_ref();
            graph.is_some_and(|graph| {
                graph
                    .node
                    .iter()
                    .any(|node| node.output.iter().any(|output| output == name))
            })
        };
        let absent = values
            .iter()
            .zip(&places)
            .find(|(name, place)| matches!(place, Place::Output(_)) && !computed(name));
        let fault = |reason: &str| {
            let reason = one_line(reason);
            ModelError::new(model.name(), ModelFault::Prepare { batch: 1, reason })
        };
        if let Some((name, _)) = absent {
            return Err(fault(&format!("no node computes `{name}`")));
        }
        let prepared = panics::catch(|| tract::typed(&proto, 1)?.into_optimized()?.into_runnable()?.spawn());
        match prepared {
            Ok(Ok(state)) => Ok(Self { state, values: places }),
            Ok(Err(error)) => Err(fault(&format!("{error:#}"))),
            Err(panic) => Err(fault(&panic)),
        }
    }

    /// Runs one record, `ecg [80, 256]` and `spectrogram [563, 33]`, and shows every value: its position among the names given to
    /// [`Probe::new`], and its numbers, row-major.
    ///
    /// # Errors
    /// [`RunError`]: inputs of other lengths or not finite, a failure inside the runtime.
    pub fn run(
        &mut self,
        ecg: &[f32],
        spectrogram: &[f32],
        mut see: impl FnMut(usize, &[f32]),
    ) -> Result<(), RunError> {
        check_input(ECG, ecg, ECG_LEN, 1)?;
        check_input(SPECTROGRAM, spectrogram, SPECTROGRAM_LEN, 1)?;
        let state = &mut self.state;
        let outputs = panics::catch(|| state.run(inputs(ecg, spectrogram, 1)?));
        let outputs = match outputs {
            Ok(Ok(outputs)) => outputs,
            Ok(Err(error)) => return Err(RunError::Failed(one_line(&format!("{error:#}")))),
            Err(panic) => return Err(RunError::Failed(one_line(&panic))),
        };
        for (index, place) in self.values.iter().enumerate() {
            match place {
                Place::Ecg => see(index, ecg),
                Place::Spectrogram => see(index, spectrogram),
                Place::Output(output) => {
                    let floats = outputs[*output]
                        .try_as_plain_ram()
                        .and_then(|plain| Ok(plain.as_slice::<f32>()?.to_vec()));
                    let floats = floats.map_err(|error| RunError::Failed(one_line(&format!("{error:#}"))))?;
                    see(index, &floats);
                }
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe")
            .field("values", &self.values.len())
            .finish_non_exhaustive()
    }
}
