"""Some of a map's channels, rows and columns."""

from dataclasses import replace

from lbwdet.deploy.lower.rule import Result, Site, rule
from lbwdet.deploy.runtime.operations.conv import Conv
from lbwdet.deploy.runtime.operations.slice import Slice


@rule("slice")
def take(site: Site) -> Result:
    value, rank = site.value("self"), len(site.call.shape)
    axis, start, step = site.argument("dim"), site.argument("start") or 0, site.argument("step")
    size = site.shape("self")[axis]
    if start == 0 and step == 1 and site.call.shape[axis] == size:
        return value
    end = site.argument("end")
    end = size if end is None else min(end, size)
    if rank != 4 or axis % rank == 0:
        raise site.refused(f"along axis {axis} of a tensor of shape {list(site.shape('self'))}")
    if axis % rank == 1:
        if step != 1:
            raise site.refused(f"of every {step}th channel")
        return Slice(value, site.output, channels=(start % size, site.call.shape[1]))
    if start < 0 or end != size:
        raise site.refused("up to a row or column before the last")
    if axis % rank == 2:
        return Slice(value, site.output, start=(start, 0), step=(step, 1))
    return Slice(value, site.output, start=(0, start), step=(1, step))


@rule("split", "chunk", "split_with_sizes")
def part(site: Site) -> Slice:
    value, index, rank = site.value("self"), site.argument("index"), len(site.call.shape)
    if site.argument("dim") % rank != 1 or rank != 4:
        raise site.refused(f"along axis {site.argument('dim')}")
    channels = site.map(value)[0]
    if site.call.op == "split_with_sizes":
        start = sum(site.argument("split_sizes")[:index])
    elif site.call.op == "chunk":
        start = -(-channels // site.argument("chunks")) * index
    else:
        start = site.argument("split_size") * index
    return Slice(value, site.output, channels=(start, site.call.shape[1]))


@rule("index_select")
def some_channels(site: Site) -> Conv:
    """Of what a convolution makes: a convolution that makes these channels and no others."""
    value, rank = site.value("self"), len(site.call.shape)
    conv = site.writer(value)
    if site.argument("dim") % rank != 1 or not isinstance(conv, Conv) or conv.groups != 1:
        raise site.refused("of anything but the channels that a convolution without groups makes")
    outputs = [int(index) for index in site.argument("index")]
    return replace(conv, output=site.output, layer=site.add_part_of_layer(value, outputs))
