//! The operations the network is made of, in two storeys.
//!
//! Primitives are what a runtime must provide. Composites have default bodies made of primitives; a runtime overrides one
//! to fuse it, and a test holds the override to the default body. Parameters are named by their state-dict key; mode,
//! dropout draws and running statistics live in the implementor.

use super::composites;
use super::sites::{AxialSite, Ends, LstmSite, TransformerSite};

/// An interpreter of the network.
///
/// `N` is the batch, `C` channels, `H` frames (time), `W` bins (frequency), `L` steps, `D` features.
pub trait Ops: Sized {
    /// An activation: a tensor, or the name of a graph's value.
    type Tensor;
    /// What can go wrong.
    type Error;

    /// The error for a network that cannot be interpreted.
    fn invalid(&self, reason: &str) -> Self::Error;

    /// Called with every named intermediate result (`block0` … `block4`, `linear1`).
    fn observe(&mut self, _name: &str, _value: &Self::Tensor) {}

    // ---- primitives

    /// 2-D convolution without bias, stride 1, `padding` zeros on every side: `[N, C, H, W]`.
    fn conv2d(&mut self, x: &Self::Tensor, weight: &str, padding: usize) -> Result<Self::Tensor, Self::Error>;
    /// 1-D convolution of kernel size 1 without bias: `[B, C, L]` with weight `[C', C, 1]`.
    fn pointwise_conv1d(&mut self, x: &Self::Tensor, weight: &str) -> Result<Self::Tensor, Self::Error>;
    /// `x·Wᵀ + b` over the last axis.
    fn linear(&mut self, x: &Self::Tensor, weight: &str, bias: Option<&str>) -> Result<Self::Tensor, Self::Error>;
    /// Batch normalization over axis 1 (eps 1e-5, momentum 0.1); `norm` is the prefix of its five tensors.
    fn batch_norm(&mut self, x: &Self::Tensor, norm: &str) -> Result<Self::Tensor, Self::Error>;
    /// Layer normalization over the last axis (eps 1e-5).
    fn layer_norm(&mut self, x: &Self::Tensor, norm: &str) -> Result<Self::Tensor, Self::Error>;
    /// `scale ⊙ x + bias` where `scale_bias [N, 2C]` holds the scales first: `x [N, C, H, W]`.
    fn modulate(&mut self, x: &Self::Tensor, scale_bias: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;
    /// The Padé activation unit with the coefficients at `site`.
    fn pau(&mut self, x: &Self::Tensor, site: &str) -> Result<Self::Tensor, Self::Error>;
    /// Exact (erf) GELU.
    fn gelu(&mut self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;
    /// Softmax over the last axis.
    fn softmax(&mut self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;
    /// Element-wise sum of two tensors of one shape.
    fn add(&mut self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;
    /// Product with a number.
    fn multiply(&mut self, x: &Self::Tensor, factor: f64) -> Result<Self::Tensor, Self::Error>;
    /// Contraction of two tensors in Einstein's notation, such as `bgci,cij->bgij`.
    fn einsum(&mut self, equation: &str, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;
    /// Reshape; one extent may be −1.
    fn reshape(&mut self, x: &Self::Tensor, shape: &[i64]) -> Result<Self::Tensor, Self::Error>;
    /// Reorders the axes.
    fn permute(&mut self, x: &Self::Tensor, axes: &[usize]) -> Result<Self::Tensor, Self::Error>;
    /// `length` elements of `axis` from `start` on.
    fn narrow(
        &mut self,
        x: &Self::Tensor,
        axis: usize,
        start: usize,
        length: usize,
    ) -> Result<Self::Tensor, Self::Error>;
    /// Joins along `axis`.
    fn concat(&mut self, parts: &[&Self::Tensor], axis: usize) -> Result<Self::Tensor, Self::Error>;
    /// Sum over `axis`, which disappears.
    fn sum(&mut self, x: &Self::Tensor, axis: usize) -> Result<Self::Tensor, Self::Error>;
    /// Mean over `axis`, which disappears.
    fn mean(&mut self, x: &Self::Tensor, axis: usize) -> Result<Self::Tensor, Self::Error>;
    /// Average pooling 2×2, stride 2, odd ends dropped.
    fn average_pool(&mut self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;
    /// Mean over `H` and `W`: `[N, C]`.
    fn global_average_pool(&mut self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;
    /// Dropout of single elements while training.
    fn dropout(&mut self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;
    /// Dropout in the spectrogram encoder while training, of single elements or of whole channels.
    fn spectrogram_dropout(&mut self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;
    /// Adds the embedding `[L, 1, D]` called `embedding` to `[N, L, D]`.
    fn add_positional(&mut self, x: &Self::Tensor, embedding: &str) -> Result<Self::Tensor, Self::Error>;
    /// `E [rows, span, span]` with `E[c, i, j] = R[c, i − j + span − 1]`, `R [rows, 2·span − 1]` being the parameter `name`.
    fn relative_embeddings(&mut self, name: &str, span: usize) -> Result<Self::Tensor, Self::Error>;
    /// Layer `layer` of the LSTM at `site` (PyTorch's gates i, f, g, o; both biases): `[N, L, D]` to `[N, L, hidden]`.
    fn lstm_layer(&mut self, x: &Self::Tensor, site: &LstmSite, layer: usize) -> Result<Self::Tensor, Self::Error>;

    // ---- composites

    /// Conditional batch normalization: batch norm, then scale and bias drawn linearly from the latent.
    fn conditional_norm(
        &mut self,
        x: &Self::Tensor,
        latent: Option<&Self::Tensor>,
        site: &str,
    ) -> Result<Self::Tensor, Self::Error> {
        composites::conditional_norm(self, x, latent, site)
    }

    /// `PAU(CBN(x))`, or `PAU(CBN(x) + shortcut)`, and what the site [`Ends`] with.
    fn conditional_norm_pau(
        &mut self,
        x: &Self::Tensor,
        latent: Option<&Self::Tensor>,
        norm: &str,
        shortcut: Option<&Self::Tensor>,
        pau: &str,
        ends: Ends,
    ) -> Result<Self::Tensor, Self::Error> {
        composites::conditional_norm_pau(self, x, latent, norm, shortcut, pau, ends)
    }

    /// [`Ops::spectrogram_dropout`] followed by 2×2 average pooling.
    fn spectrogram_dropout_pool(&mut self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error> {
        composites::spectrogram_dropout_pool(self, x)
    }

    /// Axial attention along one axis: `[N, C, H, W]` to the same shape (MODEL: axial attention, steps 1 to 7).
    fn axial_attention(&mut self, x: &Self::Tensor, site: &AxialSite) -> Result<Self::Tensor, Self::Error> {
        composites::axial_attention(self, x, site)
    }

    /// One post-norm Transformer encoder layer on `[N, L, D]`.
    fn transformer_layer(&mut self, x: &Self::Tensor, site: &TransformerSite) -> Result<Self::Tensor, Self::Error> {
        composites::transformer_layer(self, x, site)
    }

    /// Multi-head self-attention with its output projection, on `[N, L, D]`.
    fn self_attention(&mut self, x: &Self::Tensor, site: &TransformerSite) -> Result<Self::Tensor, Self::Error> {
        composites::self_attention(self, x, site)
    }

    /// The stacked LSTM's last output: `[N, L, D]` to `[N, hidden]`, dropout between layers.
    fn lstm_stack(&mut self, x: &Self::Tensor, site: &LstmSite) -> Result<Self::Tensor, Self::Error> {
        composites::lstm_stack(self, x, site)
    }
}
