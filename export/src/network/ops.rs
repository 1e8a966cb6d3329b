//! The operations the network is made of, in two storeys.
//!
//! Primitives are what a runtime must provide. Composites have default bodies made of primitives; a runtime overrides one
//! to fuse it, and a test holds the override to the default body. Parameters are named by their state-dict key; mode,
//! dropout draws and running statistics live in the implementor.

use super::sites::{AxialSite, Axis, LstmSite, TransformerSite};

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
    /// Dropout of whole channels while training.
    fn dropout2d(&mut self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;
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
        let normalized = self.batch_norm(x, &format!("{site}.batch_normalization"))?;
        match latent {
            Some(latent) => {
                let scale_bias = self.linear(latent, &format!("{site}.linear_mapping.weight"), None)?;
                self.modulate(&normalized, &scale_bias)
            }
            None => Ok(normalized),
        }
    }

    /// [`Ops::conditional_norm`] followed by the Padé activation at `pau`.
    fn conditional_norm_pau(
        &mut self,
        x: &Self::Tensor,
        latent: Option<&Self::Tensor>,
        norm: &str,
        pau: &str,
    ) -> Result<Self::Tensor, Self::Error> {
        let normalized = self.conditional_norm(x, latent, norm)?;
        self.pau(&normalized, pau)
    }

    /// `PAU(CBN(x) + shortcut)`: the end of every block.
    fn conditional_norm_add_pau(
        &mut self,
        x: &Self::Tensor,
        latent: Option<&Self::Tensor>,
        norm: &str,
        shortcut: &Self::Tensor,
        pau: &str,
    ) -> Result<Self::Tensor, Self::Error> {
        let normalized = self.conditional_norm(x, latent, norm)?;
        let sum = self.add(&normalized, shortcut)?;
        self.pau(&sum, pau)
    }

    /// Dropout of channels followed by 2×2 average pooling.
    fn dropout2d_pool(&mut self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error> {
        let dropped = self.dropout2d(x)?;
        self.average_pool(&dropped)
    }

    /// Axial attention along one axis: `[N, C, H, W]` to the same shape (MODEL: axial attention, steps 1 to 7).
    fn axial_attention(&mut self, x: &Self::Tensor, site: &AxialSite) -> Result<Self::Tensor, Self::Error> {
        let (groups, channels, span) = (AxialSite::GROUPS as i64, site.channels as i64, site.span() as i64);
        let group_channels = site.group_channels();
        let half = group_channels / 2;
        let (to_lines, across, back): ([usize; 4], usize, [usize; 4]) = match site.axis {
            Axis::Time => ([0, 3, 1, 2], site.extents.1, [0, 2, 3, 1]),
            Axis::Frequency => ([0, 2, 1, 3], site.extents.0, [0, 2, 1, 3]),
        };
        let prefix = &site.prefix;
        let lines = self.permute(x, &to_lines)?;
        let lines = self.reshape(&lines, &[-1, channels, span])?;
        let projected = self.pointwise_conv1d(&lines, &format!("{prefix}.query_key_value_mapping.0.weight"))?;
        let projected = self.batch_norm(&projected, &format!("{prefix}.query_key_value_mapping.1"))?;
        let projected = self.reshape(&projected, &[-1, groups, 2 * group_channels as i64, span])?;
        let query = self.narrow(&projected, 2, 0, half)?;
        let key = self.narrow(&projected, 2, half, half)?;
        let value = self.narrow(&projected, 2, 2 * half, group_channels)?;
        let embeddings = self.relative_embeddings(&format!("{prefix}.relative_embeddings"), site.span())?;
        let query_embedding = self.narrow(&embeddings, 0, 0, half)?;
        let key_embedding = self.narrow(&embeddings, 0, half, half)?;
        let value_embedding = self.narrow(&embeddings, 0, 2 * half, group_channels)?;
        let query_map = self.einsum("bgci,cij->bgij", &query, &query_embedding)?;
        let key_map = self.einsum("bgci,cij->bgij", &key, &key_embedding)?;
        let product = self.einsum("bgri,bgrj->bgij", &query_map, &key_map)?;
        let similarity = self.concat(&[&product, &query_map, &key_map], 1)?;
        let similarity = self.batch_norm(&similarity, &format!("{prefix}.similarity_normalization"))?;
        let similarity = self.reshape(&similarity, &[-1, 3, groups, span, span])?;
        let similarity = self.sum(&similarity, 1)?;
        let attention = self.softmax(&similarity)?;
        let from_values = self.einsum("bgij,bgcj->bgci", &attention, &value)?;
        let from_positions = self.einsum("bgij,cij->bgci", &attention, &value_embedding)?;
        let from_values = self.reshape(&from_values, &[-1, channels, 1, span])?;
        let from_positions = self.reshape(&from_positions, &[-1, channels, 1, span])?;
        let pairs = self.concat(&[&from_values, &from_positions], 2)?;
        let pairs = self.reshape(&pairs, &[-1, 2 * channels, span])?;
        let pairs = self.batch_norm(&pairs, &format!("{prefix}.output_normalization"))?;
        let pairs = self.reshape(&pairs, &[-1, channels, 2, span])?;
        let lines = self.sum(&pairs, 2)?;
        let lines = self.reshape(&lines, &[-1, across as i64, channels, span])?;
        self.permute(&lines, &back)
    }

    /// One post-norm Transformer encoder layer on `[N, L, D]`.
    fn transformer_layer(&mut self, x: &Self::Tensor, site: &TransformerSite) -> Result<Self::Tensor, Self::Error> {
        let prefix = &site.prefix;
        let attended = self.self_attention(x, site)?;
        let attended = self.dropout(&attended)?;
        let sum = self.add(x, &attended)?;
        let x = self.layer_norm(&sum, &format!("{prefix}.norm1"))?;
        let hidden =
            self.linear(&x, &format!("{prefix}.linear1.weight"), Some(&format!("{prefix}.linear1.bias")))?;
        let hidden = self.gelu(&hidden)?;
        let hidden = self.dropout(&hidden)?;
        let hidden =
            self.linear(&hidden, &format!("{prefix}.linear2.weight"), Some(&format!("{prefix}.linear2.bias")))?;
        let hidden = self.dropout(&hidden)?;
        let sum = self.add(&x, &hidden)?;
        self.layer_norm(&sum, &format!("{prefix}.norm2"))
    }

    /// Multi-head self-attention with its output projection, on `[N, L, D]`.
    fn self_attention(&mut self, x: &Self::Tensor, site: &TransformerSite) -> Result<Self::Tensor, Self::Error> {
        let prefix = format!("{}.self_attn", site.prefix);
        let (steps, width, heads) = (site.steps as i64, site.width as i64, site.heads as i64);
        let per_head = width / heads;
        let projected =
            self.linear(x, &format!("{prefix}.in_proj_weight"), Some(&format!("{prefix}.in_proj_bias")))?;
        let projected = self.reshape(&projected, &[-1, steps, 3 * heads, per_head])?;
        let projected = self.permute(&projected, &[0, 2, 1, 3])?;
        let query = self.narrow(&projected, 1, 0, site.heads)?;
        let key = self.narrow(&projected, 1, site.heads, site.heads)?;
        let value = self.narrow(&projected, 1, 2 * site.heads, site.heads)?;
        let scores = self.einsum("nhid,nhjd->nhij", &query, &key)?;
        let scores = self.multiply(&scores, 1.0 / (per_head as f64).sqrt())?;
        let weights = self.softmax(&scores)?;
        let weights = self.dropout(&weights)?;
        let mixed = self.einsum("nhij,nhjd->nhid", &weights, &value)?;
        let mixed = self.permute(&mixed, &[0, 2, 1, 3])?;
        let mixed = self.reshape(&mixed, &[-1, steps, width])?;
        self.linear(&mixed, &format!("{prefix}.out_proj.weight"), Some(&format!("{prefix}.out_proj.bias")))
    }

    /// The stacked LSTM's last output: `[N, L, D]` to `[N, hidden]`, dropout between layers.
    fn lstm_stack(&mut self, x: &Self::Tensor, site: &LstmSite) -> Result<Self::Tensor, Self::Error> {
        let mut hidden = self.lstm_layer(x, site, 0)?;
        for layer in 1..site.layers {
            let dropped = self.dropout(&hidden)?;
            hidden = self.lstm_layer(&dropped, site, layer)?;
        }
        let last = self.narrow(&hidden, 1, site.steps - 1, 1)?;
        self.reshape(&last, &[-1, site.hidden as i64])
    }
}
