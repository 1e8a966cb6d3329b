//! Extents of an axial attention, and where its lines lie in the feature map.

use dualnet_engine::pau::affine::ChannelsLast;

/// An attention along one axis of a channels-last map `[records, height, width, ·]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Shape {
    pub(super) records: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// Channels of the result; queries, keys and values have twice as many together.
    pub(super) channels: usize,
    pub(super) groups: usize,
    /// Lanes of a vector: lines that are computed together.
    pub(super) lanes: usize,
    /// 1 along the height, 0 along the width.
    pub(super) along_height: usize,
}

impl Shape {
    /// Length of the axis the attention looks along.
    pub(super) fn span(&self) -> usize {
        match self.along_height {
            0 => self.width,
            _ => self.height,
        }
    }

    pub(super) fn lines_per_record(&self) -> usize {
        match self.along_height {
            0 => self.height,
            _ => self.width,
        }
    }

    pub(super) fn lines(&self) -> usize {
        self.records * self.lines_per_record()
    }

    pub(super) fn positions(&self) -> usize {
        self.records * self.height * self.width
    }

    /// Channels of queries, keys and values together.
    pub(super) fn projected(&self) -> usize {
        2 * self.channels
    }

    /// Value channels of one group.
    pub(super) fn values(&self) -> usize {
        self.channels / self.groups
    }

    /// Query channels of one group; as many key channels.
    pub(super) fn queries(&self) -> usize {
        self.values() / 2
    }

    /// Bundles of as many lines as a vector has lanes.
    fn bundles(&self) -> usize {
        self.lines().div_ceil(self.lanes)
    }

    /// Floats of one group's map over pairs of positions, of one bundle.
    pub(super) fn map(&self) -> usize {
        self.span() * self.span() * self.lanes
    }

    /// Floats of all maps of one kind.
    pub(super) fn maps(&self) -> usize {
        self.bundles() * self.groups * self.map()
    }

    /// Numbers one similarity channel is normalized over.
    pub(super) fn similarities(&self) -> usize {
        self.lines() * self.span() * self.span()
    }

    /// Index of the position `step` of line `line`.
    pub(super) fn position(&self, line: usize, step: usize) -> usize {
        let (record, across) = (line / self.lines_per_record(), line % self.lines_per_record());
        match self.along_height {
            0 => (record * self.height + across) * self.width + step,
            _ => (record * self.height + step) * self.width + across,
        }
    }

    /// A map of so many channels as the engine's kernels see it, all records as one.
    pub(super) fn channels_last(&self, channels: usize) -> ChannelsLast {
        ChannelsLast {
            samples: 1,
            pixels: self.positions(),
            channels,
        }
    }
}
