//! Axial attention along one axis, on planes.

use super::planar::{Extents, Planar};
use crate::cpu::kernels::{
    Aligned, Embeddings, Frequency, Gemm, Group, Operand, PANEL, Panels, TimeMaps, TimeOutputs, padded,
};
use crate::plan::{self, Axis, GROUPS};
use crate::simd::Isa;

#[derive(Clone, Debug)]
pub(super) struct Attention {
    axis: Axis,
    span: usize,
    pub(super) channels: usize,
    projection: Planar,
    stride: usize,
    forward_queries: Aligned,
    maps: Aligned,
    /// For each group.
    values: Aligned,
    similarity: Vec<[f32; 3]>,
}

impl Attention {
    pub(super) fn new(attention: &plan::AxialAttention<'_>) -> Self {
        let (span, gc) = (attention.span, attention.group_channels());
        let half = gc / 2;
        let length = 2 * span - 1;
        let stride = padded(span) + padded(span);
        let row = |channel: usize| (0..length).map(move |offset| attention.embeddings.at(channel * length + offset));
        let mut forward_queries = Aligned::zeros(half * stride);
        for (channel, to) in forward_queries.chunks_exact_mut(stride).enumerate() {
            to.iter_mut().zip(row(channel)).for_each(|(to, value)| *to = value);
        }
        let mut maps = Aligned::zeros(2 * half * stride);
        for (channel, to) in maps.chunks_exact_mut(stride).enumerate() {
            to.iter_mut()
                .zip(row(channel).rev())
                .for_each(|(to, value)| *to = value);
        }
        let mut values = Aligned::zeros(attention.channels * stride);
        for (channel, to) in values.chunks_exact_mut(stride).enumerate() {
            let factor = attention.position.at(channel);
            let embedding = row(2 * half + channel % gc).rev();
            to.iter_mut()
                .zip(embedding)
                .for_each(|(to, value)| *to = factor * value);
        }
        Self {
            axis: attention.axis,
            span,
            channels: attention.channels,
            projection: Planar::new(&attention.projection, attention.channels, Some(attention.bias)),
            stride,
            forward_queries,
            maps,
            values,
            similarity: (0..GROUPS)
                .map(|group| attention.similarity.map(|factors| factors.at(group)))
                .collect(),
        }
    }

    /// `planes`, in place.
    pub(super) fn run(&self, isa: Isa, extents: Extents, planes: &mut Aligned, buffers: &mut [Aligned; 3]) {
        let [panels, projected, maps] = buffers;
        let plane = extents.plane();
        self.projection.panels_of_planes(planes, plane, panels);
        self.projection.run(isa, panels, plane, projected);
        planes.fill(0.0);
        let gc = self.channels / GROUPS;
        for (index, similarity) in self.similarity.iter().enumerate() {
            let group = Group {
                planes: &projected[index * 2 * gc * plane..][..2 * gc * plane],
                stride: plane,
                channels: gc,
                span: self.span,
                embeddings: Embeddings {
                    stride: self.stride,
                    forward_queries: &self.forward_queries,
                    maps: &self.maps,
                    values: &self.values[index * gc * self.stride..][..gc * self.stride],
                },
                similarity: *similarity,
            };
            let out = &mut planes[index * gc * plane..][..gc * plane];
            match self.axis {
                Axis::Time => along_time(isa, group, extents, maps, out),
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

fn along_time(isa: Isa, group: Group<'_>, extents: Extents, maps: &mut Aligned, out: &mut [f32]) {
    let (span, width) = (extents.height, extents.padded_height);
    let maps = maps.resize(3 * span * width);
    let (query_map, rest) = maps.split_at_mut(span * width);
    let (key_map, products) = rest.split_at_mut(span * width);
    let rows: Vec<usize> = (0..span).map(|i| i * width).collect();
    for column in 0..extents.width {
        let first = column * width;
        isa.run(TimeMaps {
            group,
            first,
            width,
            query_map,
            key_map,
        });
        isa.run(Gemm {
            batch: 1,
            a: query_map,
            a_rows: Operand { rows: &rows, stride: 0 },
            b: Panels {
                data: key_map,
                rows: span,
                panels: width / PANEL,
            },
            bias: None,
            c: products,
            c_rows: Operand { rows: &rows, stride: 0 },
        });
        isa.run(TimeOutputs {
            group,
            first,
            width,
            key_map,
            products,
            out,
        });
    }
}
