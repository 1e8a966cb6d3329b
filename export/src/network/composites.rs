//! The default bodies of the composite operations, made of primitives.
//!
//! A runtime that overrides a composite can still call the body here: to hold its own to it in a test, or where its own
//! does not apply.

use super::ops::Ops;
use super::sites::{AxialSite, Axis, Ends, LstmSite, TransformerSite};

/// The default body of [`Ops::conditional_norm`].
pub fn conditional_norm<O: Ops>(
    ops: &mut O,
    x: &O::Tensor,
    latent: Option<&O::Tensor>,
    site: &str,
) -> Result<O::Tensor, O::Error> {
    let normalized = ops.batch_norm(x, &format!("{site}.batch_normalization"))?;
    match latent {
        Some(latent) => {
            let scale_bias = ops.linear(latent, &format!("{site}.linear_mapping.weight"), None)?;
            ops.modulate(&normalized, &scale_bias)
        }
        None => Ok(normalized),
    }
}

/// The default body of [`Ops::conditional_norm_pau`].
pub fn conditional_norm_pau<O: Ops>(
    ops: &mut O,
    x: &O::Tensor,
    latent: Option<&O::Tensor>,
    norm: &str,
    shortcut: Option<&O::Tensor>,
    pau: &str,
    ends: Ends,
) -> Result<O::Tensor, O::Error> {
    let mut y = ops.conditional_norm(x, latent, norm)?;
    if let Some(shortcut) = shortcut {
        y = ops.add(&y, shortcut)?;
    }
    y = ops.pau(&y, pau)?;
    match ends {
        Ends::Plain => Ok(y),
        Ends::Dropout => ops.spectrogram_dropout(&y),
        Ends::Pool => ops.spectrogram_dropout_pool(&y),
    }
}

/// The default body of [`Ops::spectrogram_dropout_pool`].
pub fn spectrogram_dropout_pool<O: Ops>(ops: &mut O, x: &O::Tensor) -> Result<O::Tensor, O::Error> {
    let dropped = ops.spectrogram_dropout(x)?;
    ops.average_pool(&dropped)
}

/// The default body of [`Ops::axial_attention`].
pub fn axial_attention<O: Ops>(ops: &mut O, x: &O::Tensor, site: &AxialSite) -> Result<O::Tensor, O::Error> {
    let (groups, channels, span) = (AxialSite::GROUPS as i64, site.channels as i64, site.span() as i64);
    let group_channels = site.group_channels();
    let half = group_channels / 2;
    let (to_lines, across, back): ([usize; 4], usize, [usize; 4]) = match site.axis {
        Axis::Time => ([0, 3, 1, 2], site.extents.1, [0, 2, 3, 1]),
        Axis::Frequency => ([0, 2, 1, 3], site.extents.0, [0, 2, 1, 3]),
    };
    let prefix = &site.prefix;
    let lines = ops.permute(x, &to_lines)?;
    let lines = ops.reshape(&lines, &[-1, channels, span])?;
    let projected = ops.pointwise_conv1d(&lines, &format!("{prefix}.query_key_value_mapping.0.weight"))?;
    let projected = ops.batch_norm(&projected, &format!("{prefix}.query_key_value_mapping.1"))?;
    let projected = ops.reshape(&projected, &[-1, groups, 2 * group_channels as i64, span])?;
    let query = ops.narrow(&projected, 2, 0, half)?;
    let key = ops.narrow(&projected, 2, half, half)?;
    let value = ops.narrow(&projected, 2, 2 * half, group_channels)?;
    let embeddings = ops.relative_embeddings(&format!("{prefix}.relative_embeddings"), site.span())?;
    let query_embedding = ops.narrow(&embeddings, 0, 0, half)?;
    let key_embedding = ops.narrow(&embeddings, 0, half, half)?;
    let value_embedding = ops.narrow(&embeddings, 0, 2 * half, group_channels)?;
    let query_map = ops.einsum("bgci,cij->bgij", &query, &query_embedding)?;
    let key_map = ops.einsum("bgci,cij->bgij", &key, &key_embedding)?;
    let product = ops.einsum("bgri,bgrj->bgij", &query_map, &key_map)?;
    let similarity = ops.concat(&[&product, &query_map, &key_map], 1)?;
    let similarity = ops.batch_norm(&similarity, &format!("{prefix}.similarity_normalization"))?;
    let similarity = ops.reshape(&similarity, &[-1, 3, groups, span, span])?;
    let similarity = ops.sum(&similarity, 1)?;
    let attention = ops.softmax(&similarity)?;
    let from_values = ops.einsum("bgij,bgcj->bgci", &attention, &value)?;
    let from_positions = ops.einsum("bgij,cij->bgci", &attention, &value_embedding)?;
    let from_values = ops.reshape(&from_values, &[-1, channels, 1, span])?;
    let from_positions = ops.reshape(&from_positions, &[-1, channels, 1, span])?;
    let pairs = ops.concat(&[&from_values, &from_positions], 2)?;
    let pairs = ops.reshape(&pairs, &[-1, 2 * channels, span])?;
    let pairs = ops.batch_norm(&pairs, &format!("{prefix}.output_normalization"))?;
    let pairs = ops.reshape(&pairs, &[-1, channels, 2, span])?;
    let lines = ops.sum(&pairs, 2)?;
    let lines = ops.reshape(&lines, &[-1, across as i64, channels, span])?;
    ops.permute(&lines, &back)
}

/// The default body of [`Ops::transformer_layer`].
pub fn transformer_layer<O: Ops>(ops: &mut O, x: &O::Tensor, site: &TransformerSite) -> Result<O::Tensor, O::Error> {
    let prefix = &site.prefix;
    let attended = ops.self_attention(x, site)?;
    let attended = ops.dropout(&attended)?;
    let sum = ops.add(x, &attended)?;
    let x = ops.layer_norm(&sum, &format!("{prefix}.norm1"))?;
    let hidden = ops.linear(
        &x,
        &format!("{prefix}.linear1.weight"),
        Some(&format!("{prefix}.linear1.bias")),
    )?;
    let hidden = ops.gelu(&hidden)?;
    let hidden = ops.dropout(&hidden)?;
    let hidden = ops.linear(
        &hidden,
        &format!("{prefix}.linear2.weight"),
        Some(&format!("{prefix}.linear2.bias")),
    )?;
    let hidden = ops.dropout(&hidden)?;
    let sum = ops.add(&x, &hidden)?;
    ops.layer_norm(&sum, &format!("{prefix}.norm2"))
}

/// The default body of [`Ops::self_attention`].
pub fn self_attention<O: Ops>(ops: &mut O, x: &O::Tensor, site: &TransformerSite) -> Result<O::Tensor, O::Error> {
    let prefix = format!("{}.self_attn", site.prefix);
    let (steps, width, heads) = (site.steps as i64, site.width as i64, site.heads as i64);
    let per_head = width / heads;
    let projected = ops.linear(
        x,
        &format!("{prefix}.in_proj_weight"),
        Some(&format!("{prefix}.in_proj_bias")),
    )?;
    let projected = ops.reshape(&projected, &[-1, steps, 3 * heads, per_head])?;
    let projected = ops.permute(&projected, &[0, 2, 1, 3])?;
    let query = ops.narrow(&projected, 1, 0, site.heads)?;
    let key = ops.narrow(&projected, 1, site.heads, site.heads)?;
    let value = ops.narrow(&projected, 1, 2 * site.heads, site.heads)?;
    let scores = ops.einsum("nhid,nhjd->nhij", &query, &key)?;
    let scores = ops.multiply(&scores, 1.0 / (per_head as f64).sqrt())?;
    let weights = ops.softmax(&scores)?;
    let weights = ops.dropout(&weights)?;
    let mixed = ops.einsum("nhij,nhjd->nhid", &weights, &value)?;
    let mixed = ops.permute(&mixed, &[0, 2, 1, 3])?;
    let mixed = ops.reshape(&mixed, &[-1, steps, width])?;
    ops.linear(
        &mixed,
        &format!("{prefix}.out_proj.weight"),
        Some(&format!("{prefix}.out_proj.bias")),
    )
}

/// The default body of [`Ops::lstm_stack`].
pub fn lstm_stack<O: Ops>(ops: &mut O, x: &O::Tensor, site: &LstmSite) -> Result<O::Tensor, O::Error> {
    let mut hidden = ops.lstm_layer(x, site, 0)?;
    for layer in 1..site.layers {
        let dropped = ops.dropout(&hidden)?;
        hidden = ops.lstm_layer(&dropped, site, layer)?;
    }
    let last = ops.narrow(&hidden, 1, site.steps - 1, 1)?;
    ops.reshape(&last, &[-1, site.hidden as i64])
}
