//! The tensors of a network's state dict: name, shape, initial value.

use super::config::PauInitial;
use super::sites::AxialSite;

/// How a tensor takes part in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Learned by gradient descent.
    Weight,
    /// A running statistic (float32).
    Buffer,
    /// An integer counter or index table (int64).
    Integer,
}

/// The value a tensor has before training.
#[derive(Clone, Debug, PartialEq)]
pub enum Initial {
    /// Every element is this value.
    Constant(f64),
    /// Uniform in ± the bound.
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// These values.
    Values(Vec<f64>),
    /// A copy of the tensor with this name, which stands earlier in the list.
    CopyOf(String),
    /// `i − j + span − 1` over `(i, j)`, row-major.
    RelativeIndexes(usize),
}

/// One tensor of the state dict.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// The published state-dict key.
    pub name: String,
    /// Extents; empty for a number.
    pub shape: Vec<usize>,
    /// What it starts as.
    pub initial: Initial,
    /// Weight, buffer or integer.
    pub kind: ParameterKind,
}

impl Parameter {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The list under construction; every method adds the tensors of one module.
pub(super) struct ParameterList {
    pau: PauInitial,
    list: Vec<Parameter>,
}

impl ParameterList {
    pub(super) fn new(pau: PauInitial) -> Self {
        Self { pau, list: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<Parameter> {
        self.list
    }

    fn push(&mut self, name: String, shape: &[usize], initial: Initial, kind: ParameterKind) {
        self.list.push(Parameter {
            name,
            shape: shape.to_vec(),
            initial,
            kind,
        });
    }

    fn weight(&mut self, name: String, shape: &[usize], initial: Initial) {
        self.push(name, shape, initial, ParameterKind::Weight);
    }

    fn uniform(&mut self, name: String, shape: &[usize], fan_in: usize) {
        self.weight(name, shape, Initial::Uniform(1.0 / (fan_in as f64).sqrt()));
    }

    pub(super) fn conv2d(&mut self, prefix: &str, output: usize, input: usize, kernel: usize) {
        let shape = [output, input, kernel, kernel];
        self.uniform(format!("{prefix}.weight"), &shape, input * kernel * kernel);
    }

    pub(super) fn linear(&mut self, prefix: &str, output: usize, input: usize) {
        self.uniform(format!("{prefix}.weight"), &[output, input], input);
        self.uniform(format!("{prefix}.bias"), &[output], input);
    }

    fn batch_norm(&mut self, prefix: &str, channels: usize) {
        self.weight(format!("{prefix}.weight"), &[channels], Initial::Constant(1.0));
        self.weight(format!("{prefix}.bias"), &[channels], Initial::Constant(0.0));
        self.push(
            format!("{prefix}.running_mean"),
            &[channels],
            Initial::Constant(0.0),
            ParameterKind::Buffer,
        );
        self.push(
            format!("{prefix}.running_var"),
            &[channels],
            Initial::Constant(1.0),
            ParameterKind::Buffer,
        );
        self.push(
            format!("{prefix}.num_batches_tracked"),
            &[],
            Initial::Constant(0.0),
            ParameterKind::Integer,
        );
    }

    pub(super) fn layer_norm(&mut self, prefix: &str, width: usize) {
        self.weight(format!("{prefix}.weight"), &[width], Initial::Constant(1.0));
        self.weight(format!("{prefix}.bias"), &[width], Initial::Constant(0.0));
    }

    pub(super) fn conditional_norm(&mut self, prefix: &str, channels: usize, latent: Option<usize>) {
        self.batch_norm(&format!("{prefix}.batch_normalization"), channels);
        if let Some(latent) = latent {
            self.uniform(
                format!("{prefix}.linear_mapping.weight"),
                &[2 * channels, latent],
                latent,
            );
        }
    }

    pub(super) fn pau(&mut self, prefix: &str) {
        let PauInitial { numerator, denominator } = self.pau.clone();
        self.weight(
            format!("{prefix}.weight_numerator"),
            &[numerator.len()],
            Initial::Values(numerator),
        );
        self.weight(
            format!("{prefix}.weight_denominator"),
            &[denominator.len()],
            Initial::Values(denominator),
        );
    }

    pub(super) fn lstm_layer(&mut self, prefix: &str, layer: usize, input: usize, hidden: usize) {
        self.uniform(format!("{prefix}.weight_ih_l{layer}"), &[4 * hidden, input], hidden);
        self.uniform(format!("{prefix}.weight_hh_l{layer}"), &[4 * hidden, hidden], hidden);
        self.uniform(format!("{prefix}.bias_ih_l{layer}"), &[4 * hidden], hidden);
        self.uniform(format!("{prefix}.bias_hh_l{layer}"), &[4 * hidden], hidden);
    }

    pub(super) fn positional_embedding(&mut self, name: &str, steps: usize, width: usize) {
        self.weight(name.to_owned(), &[steps, 1, width], Initial::Normal(0.1));
    }

    /// Layer 0 draws its values; the others start as copies of it.
    pub(super) fn transformer_layer(&mut self, prefix: &str, layer: usize, width: usize, feed_forward: usize) {
        let first = self.list.len();
        let at = format!("{prefix}.layers.{layer}");
        let in_bound = (6.0 / (width + 3 * width) as f64).sqrt();
        self.weight(
            format!("{at}.self_attn.in_proj_weight"),
            &[3 * width, width],
            Initial::Uniform(in_bound),
        );
        self.weight(
            format!("{at}.self_attn.in_proj_bias"),
            &[3 * width],
            Initial::Constant(0.0),
        );
        self.uniform(format!("{at}.self_attn.out_proj.weight"), &[width, width], width);
        self.weight(
            format!("{at}.self_attn.out_proj.bias"),
            &[width],
            Initial::Constant(0.0),
        );
        self.linear(&format!("{at}.linear1"), feed_forward, width);
        self.linear(&format!("{at}.linear2"), width, feed_forward);
        self.layer_norm(&format!("{at}.norm1"), width);
        self.layer_norm(&format!("{at}.norm2"), width);
        if layer > 0 {
            let original = format!("{prefix}.layers.0");
            for parameter in &mut self.list[first..] {
                parameter.initial = Initial::CopyOf(parameter.name.replacen(&at, &original, 1));
            }
        }
    }

    pub(super) fn axial_attention(&mut self, site: &AxialSite) {
        let (prefix, channels, span) = (&site.prefix, site.channels, site.span());
        let rows = 2 * site.group_channels();
        self.weight(
            format!("{prefix}.relative_embeddings"),
            &[rows, 2 * span - 1],
            Initial::Normal(1.0),
        );
        self.push(
            format!("{prefix}.relative_indexes"),
            &[span * span],
            Initial::RelativeIndexes(span),
            ParameterKind::Integer,
        );
        let weight = format!("{prefix}.query_key_value_mapping.0.weight");
        self.uniform(weight, &[2 * channels, channels, 1], channels);
        self.batch_norm(&format!("{prefix}.query_key_value_mapping.1"), 2 * channels);
        self.batch_norm(&format!("{prefix}.output_normalization"), 2 * channels);
        self.batch_norm(&format!("{prefix}.similarity_normalization"), 3 * AxialSite::GROUPS);
    }
}
