//! The places in the network where a composite operation stands: names of its parameters and its sizes.

/// What a conditional batch normalization with its activation ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// The activation.
    Plain,
    /// The spectrogram encoder's dropout: the middle of a residual block.
    Dropout,
    /// That dropout, then 2×2 average pooling: the end of a residual block.
    Pool,
}

/// The direction an axial attention looks along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Along the frames of the spectrogram (height).
    Time,
    /// Along the bins of the spectrogram (width).
    Frequency,
}

/// One axial attention (Wang et al. 2020, with the published system's product of the two embedded maps).
#[derive(Clone, Debug)]
pub struct AxialSite {
    /// State-dict prefix, such as `spectrogram_encoder.2.axial_attention_mapping.0`.
    pub prefix: String,
    /// The direction of the attention.
    pub axis: Axis,
    /// Channels in and out.
    pub channels: usize,
    /// Extents `(time, frequency)` of the feature map.
    pub extents: (usize, usize),
}

impl AxialSite {
    /// Groups every axial attention is split into.
    pub const GROUPS: usize = 16;

    /// Length of the axis the attention looks along.
    pub fn span(&self) -> usize {
        match self.axis {
            Axis::Time => self.extents.0,
            Axis::Frequency => self.extents.1,
        }
    }

    /// Channels of one group.
    pub fn group_channels(&self) -> usize {
        self.channels / Self::GROUPS
    }
}

/// A post-norm Transformer encoder layer.
#[derive(Clone, Debug)]
pub struct TransformerSite {
    /// State-dict prefix, such as `ecg_encoder.layers.0`.
    pub prefix: String,
    /// Attention heads.
    pub heads: usize,
    /// Model width.
    pub width: usize,
    /// Sequence length.
    pub steps: usize,
}

/// A stack of LSTM layers of which only the last output is used.
#[derive(Clone, Debug)]
pub struct LstmSite {
    /// State-dict prefix, `ecg_encoder`.
    pub prefix: String,
    /// Number of layers.
    pub layers: usize,
    /// Hidden size.
    pub hidden: usize,
    /// Sequence length.
    pub steps: usize,
}
