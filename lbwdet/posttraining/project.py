"""The data-aware projection of a network, layer by layer as its inputs meet them."""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lbwdet.posttraining.columns import matrix_of
from lbwdet.posttraining.moments import Moments, moments
from lbwdet.posttraining.plan import make_plan
from lbwdet.posttraining.rounding import (
    Levels,
    damped,
    descend,
    feed_back,
    output_error,
    upper_factor,
)
from lbwdet.posttraining.walk import Walk
from lbwdet.quantizers import WeightQuantizer


@dataclasses.dataclass(frozen=True)
class Settings:
    positions: int = 60_000
    damping: float = 0.01
    feedback: bool = True
    sweeps: int = 4
    compensate: bool = True
    norms: bool = True
    free_scale: bool = True
    phases: int = 8
    octaves: float = 2.0
    shrink: float = 0.0  # 0: moment matching, 1: least squares


@dataclasses.dataclass
class LayerReport:
    name: str
    before: float
    after: float
    zeros: float
    scale_free: bool = False
    comparable: bool = True


def choose(target, second, levels, free, granularity, st):
    """target [G,R,d] f64, second [G,d,d] f64 damped. returns values [G,R,d] (real scale), top [G,R]"""
    G, R, d = target.shape
    T = target.float()
    H = second.float()
    if st.feedback:
        order = torch.argsort(
            second.diagonal(dim1=-2, dim2=-1), dim=-1, descending=True, stable=True
        )
    else:
        order = torch.arange(d).expand(G, d)
    back = order.argsort(-1)
    Hs = H.gather(1, order[..., None].expand(-1, -1, d)).gather(2, order[:, None].expand(-1, d, -1))
    Ts = T.gather(2, order[:, None].expand(-1, R, -1))
    if st.feedback:
        U = upper_factor(
            second.gather(1, order[..., None].expand(-1, -1, d)).gather(
                2, order[:, None].expand(-1, d, -1)
            )
        ).float()
    m = T.abs().amax(-1)
    m = torch.where(m > 0, m, 1.0)
    n = len(levels._values) - 1
    if free:
        K = round(st.octaves * st.phases)
        tops = m[..., None] * (4 / 3) * 2.0 ** (-torch.arange(K) / st.phases)
    elif granularity == "channel":
        K = 3
        e = torch.frexp(m * 4 / 3).exponent - 1
        tops = torch.ldexp(torch.ones_like(m)[..., None], e[..., None] - torch.arange(K))
    else:
        K = 4
        e = torch.frexp(m.amax() * 4 / 3).exponent - 1
        tops = torch.ldexp(torch.ones(G, R, K), e - torch.arange(K).expand(G, R, K))
    # rows x candidates
    Tk = Ts[:, :, None].expand(G, R, K, d).reshape(G, R * K, d)
    tk = tops.reshape(G, R * K)
    if st.feedback:
        q = feed_back(Tk, U, levels, tk)
    else:
        q = levels.nearest(Tk, tk[..., None])
    if K * R * d * G <= 2e7 or not free:
        q = descend(q, Tk, Hs, levels, tk, st.sweeps)
    err = output_error(Tk - q, Hs).reshape(G, R, K)
    if free or granularity == "channel":
        best = err.argmin(-1)
    else:
        best = err.sum((0, 1)).argmin().expand(G, R)
    q = q.reshape(G, R, K, d).gather(2, best[..., None, None].expand(-1, -1, 1, d))[:, :, 0]
    top = tops.gather(2, best[..., None])[..., 0]
    q = descend(q.contiguous(), Ts, Hs, levels, top, st.sweeps)
    return q.gather(2, back[:, None].expand(-1, R, -1)), top


class Projector:
    def __init__(self, model, quantizers, inputs, forward, st=Settings(), workers=2, log=None):
        self.model, self.quantizers, self.inputs, self.forward, self.st = (
            model,
            quantizers,
            list(inputs),
            forward,
            st,
        )
        self.workers, self.log = workers, log
        self.reports = []

    def run(self):
        st = self.st
        model = self.model
        layers = {name: model.get_submodule(name) for name in self.quantizers}
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            plan = make_plan(model, layers, lambda: self.forward(model, self.inputs[0]))
            self.plan = plan
            floating = copy.deepcopy(model)
            half = len(self.inputs)
            passes = [
                (lambda m=m, x=x: self.forward(m, x))
                for m in (floating, model)
                for x in self.inputs
            ]
            self.pool = ThreadPoolExecutor(self.workers)
            self.floating = floating
            with torch.no_grad(), Walk([floating, model], list(plan.uses), passes) as walk:
                for name in walk:
                    pairs = [
                        (f, q)
                        for f, q in zip(walk.runs[:half], walk.runs[half:])
                        if q.at == name and f.at == name
                    ]
                    if name in layers:
                        self.layer(name, layers[name], pairs)
                    elif st.norms:
                        self.norm(name, model.get_submodule(name), pairs)
        finally:
            torch.set_num_threads(threads)
        return self.reports

    def layer(self, name, layer, pairs):
        st = self.st
        quantizer = self.quantizers[name]
        matrix = matrix_of(layer)
        most = -(-st.positions // max(len(self.inputs), 1))

        def one(pair):
            f, q = pair
            return moments(
                matrix.columns(q.args, most),
                matrix.columns(f.args, most) if st.compensate else None,
            )

        total = None
        for m in self.pool.map(one, pairs):
            total = m if total is None else total + m
        free = st.free_scale and st.norms and name in self.plan.norms
        shift = st.norms and (name in self.plan.norms or layer.bias is not None)
        used = total.centered() if shift else total
        W = matrix.rows(layer.weight.detach()).double()
        H = damped(used.second, st.damping)
        T = W
        if st.compensate and total.comparable:
            T = W + torch.linalg.solve(H, (W @ used.cross).mT).mT
        levels = Levels(quantizer.magnitudes)
        q, top = choose(T, H, levels, free, quantizer.granularity, st)
        nearest = quantizer.fake_quantize(
            layer.weight.detach(),
            name,
        )
        Hf = H.float()
        base = output_error(T.float(), Hf).sum().item()
        before = output_error(T.float() - matrix.rows(nearest), Hf).sum().item() / base
        after = output_error(T.float() - q, Hf).sum().item() / base
        relative = levels.nearest(q / top[..., None], torch.ones(()))
        if free:
            e = (
                top.log2().mean().round().int()
                if quantizer.granularity == "tensor"
                else top.log2().round().int()
            )
            scale = torch.ldexp(torch.ones_like(top), e.expand_as(top))
        else:
            scale = top
        stored = relative * scale[..., None]
        weight = matrix.weight(stored)
        if shift and name not in self.plan.norms:
            mean_q = total.first / total.count
            mean_f = mean_q + total.first_change / total.count
            src = mean_f if (st.compensate and total.comparable) else mean_q
            b = (W @ src[..., None] - stored.double() @ mean_q[..., None]).reshape(-1)
            layer.bias.add_(b.float())
        layer.weight.copy_(weight)
        self.reports.append(
            LayerReport(
                name, before, after, (weight == 0).float().mean().item(), free, total.comparable
            )
        )
        if self.log:
            self.log(self.reports[-1])

    def norm(self, name, norm, pairs):
        st = self.st

        def one(pair):
            f, q = (run.args[0].movedim(1, 0).flatten(1).double() for run in pair)
            same = f.shape == q.shape
            cross = (f * q).sum(1) if same else None
            return (
                f.shape[1],
                q.shape[1],
                f.sum(1),
                f.square().sum(1),
                q.sum(1),
                q.square().sum(1),
                cross,
            )

        nf = nq = 0
        sf = sff = sq = sqq = sc = 0
        for a, b, c, d, e, g, h in self.pool.map(one, pairs):
            nf += a
            nq += b
            sf = sf + c
            sff = sff + d
            sq = sq + e
            sqq = sqq + g
            sc = None if h is None or sc is None else sc + h
        mf, mq = sf / nf, sq / nq
        vf, vq = sff / nf - mf**2, sqq / nq - mq**2
        vf, vq = vf.clamp(min=0), vq.clamp(min=0)
        ratio = torch.where(
            vq > 1e-20, (vf / vq).sqrt(), torch.ones_like(vf)
        )  # y_f - mf ~ ratio (y_q - mq)
        if st.shrink and sc is not None:
            rho = ((sc / nf - mf * mq) / (vf * vq).sqrt().clamp(min=1e-30)).clamp(0.05, 1)
            ratio = ratio * (1 - st.shrink + st.shrink * rho)
        ratio = torch.where(ratio > 0, ratio, torch.ones_like(ratio))
        # BN(y) = g (y - mu)/sqrt(v+eps) + b ; new y' = mf + ratio (y - mq)
        mu, v = norm.running_mean.double(), norm.running_var.double()
        nv = (v + norm.eps) / ratio**2 - norm.eps
        norm.running_var.copy_(nv.clamp(min=0).float())
        real = ((v + norm.eps) / (norm.running_var.double() + norm.eps)).sqrt()
        norm.running_mean.copy_((mq - (mf - mu) / real).float())
