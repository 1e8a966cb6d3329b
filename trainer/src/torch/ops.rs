//! The primitives of the network on libtorch.

use super::dropout::Dropout;
use super::layout::channels_last;
use super::parameters::Parameters;
use crate::convolution;
use crate::distributed::Group;
use crate::error::TrainerError;
use crate::lstm;
use crate::pau::pau;
use crate::train::Precision;
use dualnet_export::network::{AxialSite, Ends, LstmSite, NORM_EPSILON, NORM_MOMENTUM, Ops, composites};
use tch::{Device, Kind, TchError, Tensor};

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Running statistics, no dropout.
    Evaluation,
    /// Batch statistics, running ones updated, this dropout.
    Training(Dropout),
}

/// Hears the names and values of intermediate results.
pub type Observer<'a> = dyn FnMut(&str, &Tensor) + 'a;

/// Interprets the network on libtorch tensors.
///
/// Dropout draws from libtorch's global generator: seed it (`tch::manual_seed`) before every training step.
pub struct Torch<'a> {
    pub(super) parameters: &'a Parameters,
    mode: Mode,
    pub(super) fused: bool,
    pub(super) precision: Precision,
    pub(super) synchronized: Option<&'a Group>,
    observer: Option<&'a mut Observer<'a>>,
}

impl<'a> Torch<'a> {
    /// An interpreter over these parameters.
    pub fn new(parameters: &'a Parameters, mode: Mode) -> Self {
        Self {
            parameters,
            mode,
            fused: true,
            precision: Precision::F32,
            synchronized: None,
            observer: None,
        }
    }

    /// Computes every composite from its primitives and these by libtorch's own operations, as ours are tested against.
    pub fn unfused(mut self) -> Self {
        self.fused = false;
        self
    }

    /// Computes convolutions and linear layers in this precision: axial and attention projections, and what the latent modulates,
    /// included; LSTM layers, norms, activations and the products within an attention stay in float32.
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Takes the statistics of batch normalization over the batches of all processes of a group, if there is one.
    pub fn synchronized(mut self, group: Option<&'a Group>) -> Self {
        self.synchronized = group;
        self
    }

    /// Hands every named intermediate result to `observer`.
    pub fn observed(mut self, observer: &'a mut Observer<'a>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Whether axial attention of `x` runs as one operation: our own is for the CPU, and statistics over several processes are
    /// batch_norm's business.
    fn fuses_axial(&self, x: &Tensor) -> bool {
        self.fused && x.device() == Device::Cpu && !self.synchronizes()
    }

    pub(super) fn training(&self) -> bool {
        matches!(self.mode, Mode::Training(_))
    }

    /// Counts, while training, one more batch that a batch normalization has seen.
    pub(super) fn count_batch(&self, norm: &str) -> Result<(), TrainerError> {
        if self.training() {
            let count = self.parameters.get(&format!("{norm}.num_batches_tracked"))?;
            let _ = count.shallow_clone().f_add_scalar_(1)?;
        }
        Ok(())
    }

    pub(super) fn active_dropout(&self) -> Option<Dropout> {
        match self.mode {
            Mode::Training(dropout) if dropout.probability > 0.0 => Some(dropout),
            _ => None,
        }
    }
}

impl Ops for Torch<'_> {
    type Tensor = Tensor;
    type Error = TrainerError;

    fn invalid(&self, reason: &str) -> TrainerError {
        TrainerError::Network(reason.to_owned())
    }

    fn observe(&mut self, name: &str, value: &Tensor) {
        if let Some(observer) = &mut self.observer {
            observer(name, value);
        }
    }

    fn conv2d(&mut self, x: &Tensor, weight: &str, padding: usize) -> Result<Tensor, TrainerError> {
        let padding = padding as i64;
        let weight = self.parameters.get(weight)?;
        if self.fused && self.precision == Precision::F32 {
            if padding == 1 && convolution::covers(x, weight) {
                return Ok(convolution::convolution(x, weight)?);
            }
            if padding == 0 && x.device() == Device::Cpu && matches!(weight.size()[..], [_, 1, 1, 1]) {
                // The middle tap of nine: cheaper than a change of the map's order in memory.
                let filter = weight.f_constant_pad_nd([1, 1, 1, 1])?;
                if convolution::covers(x, &filter) {
                    return Ok(convolution::convolution(x, &filter)?);
                }
            }
        }
        let y = self.multiplied(x, weight, |x, weight| {
            x.f_conv2d(weight, None::<&Tensor>, [1, 1], [padding, padding], [1, 1], 1)
        })?;
        // A map of one channel or one pixel has two equal memory orders, of which libtorch may pick the other.
        Ok(if y.stride()[1] == 1 { y } else { channels_last(&y)? })
    }

    fn pointwise_conv1d(&mut self, x: &Tensor, weight: &str) -> Result<Tensor, TrainerError> {
        Ok(self.multiplied(x, self.parameters.get(weight)?, |x, weight| {
            x.f_conv1d(weight, None::<&Tensor>, [1], [0], [1], 1)
        })?)
    }

    fn linear(&mut self, x: &Tensor, weight: &str, bias: Option<&str>) -> Result<Tensor, TrainerError> {
        let bias = bias.map(|name| self.parameters.get(name)).transpose()?;
        let weight = self.parameters.get(weight)?;
        if self.precision == Precision::F32 {
            return Ok(x.f_linear(weight, bias)?);
        }
        let product = self.multiplied(x, weight, |x, weight| x.f_linear(weight, None::<&Tensor>))?;
        Ok(match bias {
            Some(bias) => product.f_add(bias)?,
            None => product,
        })
    }

    fn batch_norm(&mut self, x: &Tensor, norm: &str) -> Result<Tensor, TrainerError> {
        if let Some(group) = self.sharing() {
            return self.synchronized_batch_norm(x, norm, group);
        }
        let get = |suffix: &str| self.parameters.get(&format!("{norm}.{suffix}"));
        // In libtorch's other memory order the variance is summed in float32 on the CPU, and off by up to 2e-4.
        let contiguous = match x.device() {
            Device::Cpu => x.f_contiguous()?,
            _ => x.shallow_clone(),
        };
        let y = contiguous.f_batch_norm(
            Some(get("weight")?),
            Some(get("bias")?),
            Some(get("running_mean")?),
            Some(get("running_var")?),
            self.training(),
            NORM_MOMENTUM,
            NORM_EPSILON,
            false,
        )?;
        self.count_batch(norm)?;
        Ok(y)
    }

    fn layer_norm(&mut self, x: &Tensor, norm: &str) -> Result<Tensor, TrainerError> {
        let weight = self.parameters.get(&format!("{norm}.weight"))?;
        let bias = self.parameters.get(&format!("{norm}.bias"))?;
        Ok(x.f_layer_norm(weight.size(), Some(weight), Some(bias), NORM_EPSILON, false)?)
    }

    fn modulate(&mut self, x: &Tensor, scale_bias: &Tensor) -> Result<Tensor, TrainerError> {
        let parts = scale_bias.f_unsqueeze(-1)?.f_unsqueeze(-1)?.f_chunk(2, 1)?;
        Ok(x.f_mul(&parts[0])?.f_add(&parts[1])?)
    }

    fn pau(&mut self, x: &Tensor, site: &str) -> Result<Tensor, TrainerError> {
        let numerator = self.parameters.get(&format!("{site}.weight_numerator"))?;
        let denominator = self.parameters.get(&format!("{site}.weight_denominator"))?;
        Ok(pau(x, numerator, denominator)?)
    }

    fn gelu(&mut self, x: &Tensor) -> Result<Tensor, TrainerError> {
        Ok(x.f_gelu("none")?)
    }

    fn softmax(&mut self, x: &Tensor) -> Result<Tensor, TrainerError> {
        Ok(x.f_softmax(-1, Kind::Float)?)
    }

    fn add(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor, TrainerError> {
        Ok(a.f_add(b)?)
    }

    fn multiply(&mut self, x: &Tensor, factor: f64) -> Result<Tensor, TrainerError> {
        Ok(x.f_mul_scalar(factor)?)
    }

    fn einsum(&mut self, equation: &str, a: &Tensor, b: &Tensor) -> Result<Tensor, TrainerError> {
        Ok(Tensor::f_einsum(equation, &[a, b], None::<&[i64]>)?)
    }

    fn reshape(&mut self, x: &Tensor, shape: &[i64]) -> Result<Tensor, TrainerError> {
        Ok(x.f_reshape(shape)?)
    }

    fn permute(&mut self, x: &Tensor, axes: &[usize]) -> Result<Tensor, TrainerError> {
        let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        Ok(x.f_permute(axes)?)
    }

    fn narrow(&mut self, x: &Tensor, axis: usize, start: usize, length: usize) -> Result<Tensor, TrainerError> {
        Ok(x.f_narrow(axis as i64, start as i64, length as i64)?)
    }

    fn concat(&mut self, parts: &[&Tensor], axis: usize) -> Result<Tensor, TrainerError> {
        Ok(Tensor::f_cat(parts, axis as i64)?)
    }

    fn sum(&mut self, x: &Tensor, axis: usize) -> Result<Tensor, TrainerError> {
        Ok(x.f_sum_dim_intlist([axis as i64].as_slice(), false, None)?)
    }

    fn mean(&mut self, x: &Tensor, axis: usize) -> Result<Tensor, TrainerError> {
        Ok(x.f_mean_dim([axis as i64].as_slice(), false, None)?)
    }

    fn average_pool(&mut self, x: &Tensor) -> Result<Tensor, TrainerError> {
        Ok(x.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)?)
    }

    fn global_average_pool(&mut self, x: &Tensor) -> Result<Tensor, TrainerError> {
        Ok(x.f_mean_dim([2, 3].as_slice(), false, None)?)
    }

    fn dropout(&mut self, x: &Tensor) -> Result<Tensor, TrainerError> {
        Ok(match self.active_dropout() {
            Some(dropout) => dropout.of_elements(x)?,
            None => x.shallow_clone(),
        })
    }

    fn spectrogram_dropout(&mut self, x: &Tensor) -> Result<Tensor, TrainerError> {
        Ok(match self.active_dropout() {
            Some(dropout) => dropout.in_spectrogram(x)?,
            None => x.shallow_clone(),
        })
    }

    fn add_positional(&mut self, x: &Tensor, embedding: &str) -> Result<Tensor, TrainerError> {
        Ok(x.f_add(&self.parameters.get(embedding)?.f_transpose(0, 1)?)?)
    }

    fn relative_embeddings(&mut self, name: &str, span: usize) -> Result<Tensor, TrainerError> {
        let indexes = format!("{}.relative_indexes", name.trim_end_matches(".relative_embeddings"));
        let embeddings = self.parameters.get(name)?;
        let span = span as i64;
        let picked = embeddings.f_index_select(1, self.parameters.get(&indexes)?)?;
        Ok(picked.f_view([embeddings.size()[0], span, span])?)
    }

    fn lstm_layer(&mut self, x: &Tensor, site: &LstmSite, layer: usize) -> Result<Tensor, TrainerError> {
        let weight = |kind: &str| self.parameters.get(&format!("{}.{kind}_l{layer}", site.prefix));
        let [input, recurrent] = [weight("weight_ih")?, weight("weight_hh")?];
        let biases = [weight("bias_ih")?, weight("bias_hh")?];
        let fused = lstm::Layer {
            input,
            recurrent,
            biases,
        };
        if self.fused && fused.covers(x) {
            return Ok(fused.apply(x)?);
        }
        let zeros = || -> Result<Tensor, TchError> {
            Tensor::f_zeros([1, x.size()[0], site.hidden as i64], (x.kind(), x.device()))
        };
        let (h0, c0) = (zeros()?, zeros()?);
        let (hidden, _, _) = x.f_lstm(
            &[&h0, &c0],
            &[input, recurrent, biases[0], biases[1]],
            true,
            1,
            0.0,
            self.training(),
            false,
            true,
        )?;
        Ok(hidden)
    }

    fn axial_attention(&mut self, x: &Tensor, site: &AxialSite) -> Result<Tensor, TrainerError> {
        match self.fuses_axial(x) {
            true => self.fused_axial(x, site),
            false => composites::axial_attention(self, x, site),
        }
    }

    fn conditional_norm_pau(
        &mut self,
        x: &Tensor,
        latent: Option<&Tensor>,
        norm: &str,
        shortcut: Option<&Tensor>,
        pau: &str,
        ends: Ends,
    ) -> Result<Tensor, TrainerError> {
        match self.fuses_site(x, pau) {
            true => self.fused_site(x, latent, norm, shortcut, pau, ends),
            false => composites::conditional_norm_pau(self, x, latent, norm, shortcut, pau, ends),
        }
    }
}
