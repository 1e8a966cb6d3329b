//! The axial block of the spectrogram encoder: attention along time, then along frequency, between two 1×1 convolutions.

use super::config::Block;
use super::ops::Ops;
use super::parameters::ParameterList;
use super::sites::{AxialSite, Axis, Ends};

fn sites(block: &Block, extents: (usize, usize)) -> [AxialSite; 2] {
    [Axis::Time, Axis::Frequency].map(|axis| AxialSite {
        prefix: format!(
            "{}.axial_attention_mapping.{}",
            block.prefix(),
            usize::from(axis == Axis::Frequency)
        ),
        axis,
        channels: block.output,
        extents,
    })
}

pub(super) fn parameters(list: &mut ParameterList, block: &Block, extents: (usize, usize), latent: Option<usize>) {
    let prefix = block.prefix();
    list.conv2d(&format!("{prefix}.input_mapping_conv"), block.output, block.input, 1);
    list.conditional_norm(&format!("{prefix}.input_mapping_norm"), block.output, latent);
    list.pau(&format!("{prefix}.input_mapping_act"));
    for site in sites(block, extents) {
        list.axial_attention(&site);
    }
    list.conv2d(&format!("{prefix}.output_mapping_conv"), block.output, block.output, 1);
    list.conditional_norm(&format!("{prefix}.output_mapping_norm"), block.output, latent);
    if block.input != block.output {
        list.conv2d(&format!("{prefix}.residual_mapping"), block.output, block.input, 1);
    }
    list.pau(&format!("{prefix}.final_activation"));
}

pub(super) fn forward<O: Ops>(
    ops: &mut O,
    block: &Block,
    extents: (usize, usize),
    x: &O::Tensor,
    latent: Option<&O::Tensor>,
) -> Result<O::Tensor, O::Error> {
    let prefix = block.prefix();
    let mut main = ops.conv2d(x, &format!("{prefix}.input_mapping_conv.weight"), 0)?;
    main = ops.conditional_norm_pau(
        &main,
        latent,
        &format!("{prefix}.input_mapping_norm"),
        None,
        &format!("{prefix}.input_mapping_act"),
        Ends::Plain,
    )?;
    for site in sites(block, extents) {
        main = ops.axial_attention(&main, &site)?;
    }
    main = ops.spectrogram_dropout_pool(&main)?;
    main = ops.conv2d(&main, &format!("{prefix}.output_mapping_conv.weight"), 0)?;
    let mut shortcut = ops.average_pool(x)?;
    if block.input != block.output {
        shortcut = ops.conv2d(&shortcut, &format!("{prefix}.residual_mapping.weight"), 0)?;
    }
    ops.conditional_norm_pau(
        &main,
        latent,
        &format!("{prefix}.output_mapping_norm"),
        Some(&shortcut),
        &format!("{prefix}.final_activation"),
        Ends::Plain,
    )
}
