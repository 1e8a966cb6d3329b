//! Axial attention along one axis, on planes.

use super::super::map::Stretch;
use super::planar::{Extents, Planar, spread};
use crate::cpu::kernels::{
    Aligned, AlongTime, Embeddings, Equal, Frequency, Group, NARROW, PANEL, along_time_scratch, padded,
};
use crate::plan::{self, Axis, GROUPS};
use crate::simd::Isa;

#[derive(Clone, Debug)]
pub(super) struct Attention {
    axis: Axis,
    span: usize,
    pub(super) channels: usize,
    projection: Planar,
    /// Elements between the channels of `maps`.
    stride: usize,
    maps: Aligned,
    /// For each group.
    values: Aligned,
    /// For each group.
    value_rows: Aligned,
    similarity: Vec<[f32; 3]>,
}

impl Attention {
    pub(super) fn new(attention: &plan::AxialAttention<'_>) -> Self {
        let (span, gc) = (attention.span, attention.group_channels());
        let half = gc / 2;
        let length = 2 * span - 1;
        let stride = padded(span) + padded(span);
        let row = |channel: usize| (0..length).map(move |offset| attention.embeddings.at(channel * length + offset));
        let mut maps = Aligned::zeros(2 * half * stride);
        for (channel, to) in maps.chunks_exact_mut(stride).enumerate() {
            to.iter_mut()
                .zip(row(channel).rev())
                .for_each(|(to, value)| *to = value);
        }
        let value_stride = padded(gc);
        let mut values = Aligned::zeros(GROUPS * length * value_stride);
        let mut value_rows = Aligned::zeros(if gc <= NARROW { attention.channels * stride } else { 0 });
        for channel in 0..attention.channels {
            let (group, lane) = (channel / gc, channel % gc);
            let factor = attention.position.at(channel);
            for (offset, value) in row(2 * half + lane).rev().enumerate() {
                values[(group * length + offset) * value_stride + lane] = factor * value;
                if gc <= NARROW {
                    value_rows[channel * stride + offset] = factor * value;
                }
            }
        }
        Self {
            axis: attention.axis,
            span,
            channels: attention.channels,
            projection: Planar::new(&attention.projection, attention.channels, Some(attention.bias)),
            stride,
            maps,
            values,
            value_rows,
            similarity: (0..GROUPS)
                .map(|group| attention.similarity.map(|factors| factors.at(group)))
                .collect(),
        }
    }

    /// `planes`, in place. With `short`, they are planes of those extents, in which one row stands for a stretch.
    pub(super) fn run(
        &self,
        isa: Isa,
        short: Option<(Extents, Stretch)>,
        extents: Extents,
        planes: &mut Aligned,
        buffers: &mut [Aligned; 3],
    ) {
        let [panels, projected, maps] = buffers;
        let given = short.map_or(extents, |(extents, _)| extents).plane();
        self.projection.panels_of_planes(planes, given, panels);
        self.projection.run(isa, panels, given, projected);
        let mut equal = Equal::default();
        if let Some(short) = short {
            spread(projected, short, extents, panels);
            std::mem::swap(projected, panels);
            equal = short.1.into();
        }
        let (gc, plane) = (self.channels / GROUPS, extents.plane());
        planes.resize(self.channels * plane).fill(0.0);
        let (values, value_rows) = (self.values.len() / GROUPS, self.value_rows.len() / GROUPS);
        for (index, similarity) in self.similarity.iter().enumerate() {
            let group = Group {
                planes: &projected[index * 2 * gc * plane..][..2 * gc * plane],
                stride: plane,
                channels: gc,
                span: self.span,
                embeddings: Embeddings {
                    maps: &self.maps,
                    stride: self.stride,
                    values: &self.values[index * values..][..values],
                    value_rows: &self.value_rows[index * value_rows..][..value_rows],
                },
                similarity: *similarity,
            };
            let out = &mut planes[index * gc * plane..][..gc * plane];
            match self.axis {
                Axis::Time => {
                    for column in 0..extents.width {
                        isa.run(AlongTime {
                            group,
                            first: column * extents.padded_height,
                            equal,
                            scratch: maps.resize(along_time_scratch(self.span, gc)),
                            out,
                        });
                    }
                }
                Axis::Frequency => isa.run(Frequency {
                    group,
                    height: extents.padded_height,
                    scratch: maps.resize(3 * PANEL * self.span * self.span),
                    out,
                }),
            }
        }
    }
}
