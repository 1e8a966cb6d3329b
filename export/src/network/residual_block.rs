//! The residual block of the spectrogram encoder: two conditioned 3×3 convolutions, a shortcut, pooling.

use super::config::Block;
use super::ops::Ops;
use super::parameters::ParameterList;
use super::sites::Ends;

pub(super) fn parameters(list: &mut ParameterList, block: &Block, latent: Option<usize>) {
    let prefix = block.prefix();
    list.conv2d(&format!("{prefix}.main_mapping_conv_1"), block.output, block.input, 3);
    list.conditional_norm(&format!("{prefix}.main_mapping_norm_1"), block.output, latent);
    list.pau(&format!("{prefix}.main_mapping_act_1"));
    list.conv2d(&format!("{prefix}.main_mapping_conv_2"), block.output, block.output, 3);
    list.conditional_norm(&format!("{prefix}.main_mapping_norm_2"), block.output, latent);
    if block.input != block.output {
        list.conv2d(&format!("{prefix}.residual_mapping"), block.output, block.input, 1);
    }
    list.pau(&format!("{prefix}.final_activation"));
}

pub(super) fn forward<O: Ops>(
    ops: &mut O,
    block: &Block,
    x: &O::Tensor,
    latent: Option<&O::Tensor>,
) -> Result<O::Tensor, O::Error> {
    let prefix = block.prefix();
    let main = ops.conv2d(x, &format!("{prefix}.main_mapping_conv_1.weight"), 1)?;
    let main = ops.conditional_norm_pau(
        &main,
        latent,
        &format!("{prefix}.main_mapping_norm_1"),
        None,
        &format!("{prefix}.main_mapping_act_1"),
        Ends::Dropout,
    )?;
    let main = ops.conv2d(&main, &format!("{prefix}.main_mapping_conv_2.weight"), 1)?;
    let projected = match block.input == block.output {
        true => None,
        false => Some(ops.conv2d(x, &format!("{prefix}.residual_mapping.weight"), 0)?),
    };
    ops.conditional_norm_pau(
        &main,
        latent,
        &format!("{prefix}.main_mapping_norm_2"),
        Some(projected.as_ref().unwrap_or(x)),
        &format!("{prefix}.final_activation"),
        Ends::Pool,
    )
}
