from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np

from lbwdet.deploy.runtime.arithmetic.boxes import anchors, best_first, sigmoid, softmax
from lbwdet.deploy.runtime.coders import Coder, Four, random_coder
from lbwdet.deploy.runtime.context import Array, Context, Run
from lbwdet.deploy.runtime.declaration import Kind, Length, Range, Reads, Writes
from lbwdet.deploy.runtime.operation import Constant, Example, Operation
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Rows, Shapes
from lbwdet.errors import shown

Maps = Annotated[tuple[str, ...], Reads(Kind.FLOAT), Length(0, 64)]


@dataclass(frozen=True)
class Candidates(Operation):
    """Boxes from the maps of a dense head, the best of each level, before suppression.

    Per level l, with A anchors and C classes: ``scores[l]`` float32 [1, h, w, A * C] (of softmax,
    A * (C + 1), the background last), ``deltas[l]`` float32 [1, h, w, A * ``coder.numbers``], and,
    if there are factors, ``factors[l]`` float32 [1, h, w, A]. Anchor a at (y, x) is
    ``base_anchors[l][a] + (x, y, x, y) * stride``; every product and sum in float32. Strides that
    are no whole numbers are ``exact_strides``.

    1. Scores by ``activation``: ``none`` (logits), ``sigmoid``:
       ``f32(1 / (1 + exp(min(max(-x, -700), 700))))`` in float64, or ``softmax`` over an anchor's
       classes in float64: subtract the largest logit, ``exp``, sum in the order of the classes,
       quotient, rounded to f32. ``exp`` is that of :mod:`lbwdet.deploy.runtime.coders`.
    2. With ``factor_first``, times the sigmoid of the anchor's factor (with ``plain_factors``, the
       factor itself), in float32; with ``root``,
       the square root of that, in float32.
    3. Anchors whose factor, as in 2, is not more than ``factor_threshold`` do not count (unless
       factor_threshold < 0). With ``best_class``, only the highest score of an anchor counts
       (ties: the lower class). Pairs (anchor, class) with score > ``score_threshold`` (None: all)
       are numbered in the order y, x, a, c; the ``pre_nms`` best survive (ties: the lower number),
       best first. With ``whole_anchors``, ``pre_nms`` counts anchors: those whose highest score is
       best survive, best first, and of each the classes with score > ``score_threshold``, in their
       order. With ``together``, ``pre_nms`` counts the pairs of all levels: of those that survive
       in theirs, the ``pre_nms`` best do (ties: the lower level).
    4. Unless ``factor_first`` or ``unweighted``, times the sigmoid of the factor.
    5. Boxes are decoded by ``coder``; those whose width or height is not more than ``min_size``
       are dropped (unless min_size < 0). Without ``deltas`` there are no boxes: all are 0.
       Classes from ``things`` on are no objects: their candidates are dropped, too (0: all are).

    Output: candidates [n, 7], level after level: x1, y1, x2, y2, score, class, level; with
    ``numbered``, in the place of the level the anchor's number among those of all levels, which
    count in the order y, x, a, level after level; there are at most 2**24 of them.
    """

    float32: ClassVar[str] = "scores and boxes"

    scores: Annotated[tuple[str, ...], Reads(Kind.FLOAT), Length(1, 64)]
    deltas: Maps
    output: Annotated[str, Writes(Kind.CANDIDATES)]
    strides: Annotated[tuple[int, ...], Range(1, 1 << 15)]
    base_anchors: Annotated[tuple[tuple[Four, ...], ...], Range(-1e6, 1e6)]
    coder: Coder
    num_classes: Annotated[int, Range(1, 100_000)]
    activation: Literal["none", "sigmoid", "softmax"]
    pre_nms: Annotated[int, Range(1, 1_000_000)]
    score_threshold: Annotated[float, Range(-1, 1)] | None = None
    min_size: Annotated[float, Range(-1, 1e6)] = -1.0
    factors: Maps = ()
    factor_first: bool = False
    best_class: bool = False
    root: bool = False
    whole_anchors: bool = False
    plain_factors: bool = False
    factor_threshold: Annotated[float, Range(-1, 1)] = -1.0
    together: bool = False
    unweighted: bool = False
    numbered: bool = False
    exact_strides: Annotated[tuple[float, ...], Range(1e-3, 1 << 15)] = ()
    things: Annotated[int, Range(0, 100_000)] = 0

    def infer(self, shapes: Shapes) -> Rows:
        as_many = self.deltas or self.scores
        shapes.per_level(self.scores, as_many, self.strides, self.base_anchors)
        shapes.expect(
            len(self.factors) in (0, len(self.scores)),
            f"{len(self.factors)} factors for {len(self.scores)} levels",
        )
        shapes.expect(bool(self.factors) or not self.factor_first, "factor_first, without factors")
        shapes.expect(
            not self.root
            or (self.factor_first and self.activation != "none" and not self.plain_factors),
            "root, but not of products of an activation and a sigmoid",
        )
        for choice in ("best_class", "together"):
            shapes.expect(
                not (getattr(self, choice) and self.whole_anchors), f"{choice} of whole_anchors"
            )
        shapes.expect(
            not self.unweighted or (bool(self.factors) and not self.factor_first),
            "unweighted, without factors or with factor_first",
        )
        shapes.expect(
            bool(self.factors) or self.factor_threshold < 0, "factor_threshold, without factors"
        )
        if self.exact_strides:
            shapes.per_level(self.strides, self.exact_strides)
        for level, boxes in enumerate(self.base_anchors):
            scores = shapes.image_map(self.scores[level])
            delta_name = self.deltas[level] if self.deltas else ""
            deltas = shapes.image_map(delta_name) if delta_name else None
            shapes.expect(
                deltas is None or scores.size == deltas.size,
                f"{shown(self.scores[level])} and {shown(delta_name)} differ in size",
            )
            numbers = self.coder.numbers * len(boxes) if deltas is None else deltas.channels
            shapes.expect(
                0 < len(boxes) * self._score_channels == scores.channels
                and numbers == self.coder.numbers * len(boxes),
                f"{len(boxes)} anchors of {self.num_classes} classes, {scores.channels} scores, "
                f"{numbers} deltas",
            )
            shapes.expect(
                all(x1 <= x2 and y1 <= y2 for x1, y1, x2, y2 in boxes),
                f"an anchor of level {level} ends before it begins",
            )
            for name in self.factors[level : level + 1]:
                factor = shapes.image_map(name)
                shapes.expect(
                    factor.size == scores.size and factor.channels == len(boxes),
                    f"{shown(name)} is not one factor per anchor",
                )
        return Rows(Kind.CANDIDATES, self.num_classes)

    def compute(self, run: Run) -> Array:
        levels = [self._best(level, run) for level in range(len(self.scores))]
        if self.together:
            number = np.repeat(np.arange(len(levels)), [len(pairs) for pairs, _ in levels])
            best = best_first(np.concatenate([scores for _, scores in levels]))[: self.pre_nms]
            counts = np.bincount(number[best], minlength=len(levels))
            levels = [
                (pairs[:count], scores[:count])
                for (pairs, scores), count in zip(levels, counts, strict=True)
            ]
        return np.concatenate([self._rows(level, run, *best) for level, best in enumerate(levels)])

    def _best(self, level: int, run: Run) -> tuple[Array, Array]:
        """The numbers of the pairs of a level that survive, and their scores."""
        scores = self._activated(run.values[self.scores[level]])
        counts = None
        if self.factors:
            factor = self._factor(level, run)[:, None]
            if self.factor_first:
                scores = scores * factor
            if self.root:
                scores = np.sqrt(scores)
            if self.factor_threshold >= 0:
                counts = factor[:, 0] > np.float32(self.factor_threshold)
        chosen = self._chosen(scores, counts)
        return chosen, scores.reshape(-1)[chosen]

    def _factor(self, level: int, run: Run) -> Array:
        """float32 [anchors]."""
        factor = run.values[self.factors[level]].reshape(-1)
        return factor if self.plain_factors else sigmoid(factor)

    def _rows(self, level: int, run: Run, chosen: Array, kept: Array) -> Array:
        """Candidates from the numbers of pairs and their scores."""
        anchor, label = chosen // self.num_classes, chosen % self.num_classes
        if self.factors and not (self.factor_first or self.unweighted):
            kept = kept * self._factor(level, run)[anchor]
        boxes = self._boxes(level, run, anchor)
        last = self._first(level, run) + anchor if self.numbered else np.full(len(kept), level)
        rows = np.concatenate([boxes, np.stack([kept, label, last], 1)], 1, dtype=np.float32)
        if self.things:
            objects = label < self.things
            rows, boxes = rows[objects], boxes[objects]
        if self.min_size < 0:
            return rows
        return rows[((boxes[:, 2:] - boxes[:, :2]) > np.float32(self.min_size)).all(1)]

    def _boxes(self, level: int, run: Run, anchor: Array) -> Array:
        """Of the anchors of a level with these numbers: float32 [n, 4]."""
        if not self.deltas:
            return np.zeros((len(anchor), 4), np.float32)
        size, stride = run.values[self.scores[level]].shape[1:3], self.strides[level]
        deltas = run.values[self.deltas[level]].reshape(-1, self.coder.numbers)
        step = self.exact_strides[level] if self.exact_strides else stride
        start = anchors(self.base_anchors[level], step, *size)[anchor]
        return self.coder.decode(start, deltas[anchor], *run.bounds, stride)

    def _first(self, level: int, run: Run) -> int:
        """Number of a level's first anchor among all."""
        numbers = sum(run.values[name].size for name in self.scores[:level])
        return numbers // self._score_channels

    def _chosen(self, scores: Array, counts: Array | None) -> Array:
        """Numbers of the pairs that survive, of scores [anchors, classes].

        ``counts`` [anchors] says which anchors do at all.
        """
        flat = scores.reshape(-1)
        pairs: Array = np.arange(len(flat)).reshape(scores.shape)
        if self.best_class:
            pairs = pairs[:, :1] + scores.argmax(1)[:, None]
        if counts is not None:
            pairs, scores = pairs[counts], scores[counts]
        if self.whole_anchors:
            pairs = pairs[best_first(scores.max(1))[: self.pre_nms]]
        pairs = pairs.reshape(-1)
        if self.score_threshold is not None:
            pairs = pairs[flat[pairs] > np.float32(self.score_threshold)]
        return pairs if self.whole_anchors else pairs[best_first(flat[pairs])[: self.pre_nms]]

    def _activated(self, logits: Array) -> Array:
        """float32 [anchors, classes]."""
        rows = logits.reshape(-1, self._score_channels)
        if self.activation == "softmax":
            return softmax(rows)[:, : self.num_classes]
        return sigmoid(rows) if self.activation == "sigmoid" else rows

    @property
    def _score_channels(self) -> int:
        return self.num_classes + (self.activation == "softmax")

    def constants(self, context: Context) -> dict[str, Constant]:
        return {
            "anchors_per_level": np.array([len(boxes) for boxes in self.base_anchors], np.int32),
            "base_anchors": np.array(
                [box for boxes in self.base_anchors for box in boxes], np.float32
            ),
            "has_threshold": int(self.score_threshold is not None),
            **self.coder.constants(),
        }

    @classmethod
    def example(cls, random: "np.random.Generator") -> Example:
        levels, classes = int(random.integers(1, 4)), int(random.integers(1, 5))
        activation = str(random.choice(["none", "sigmoid", "softmax"]))
        coder, factors = random_coder(random), bool(random.integers(2))
        first, selection = factors and bool(random.integers(2)), int(random.integers(3))
        plain = factors and bool(random.integers(2))
        together = selection < 2 and bool(random.integers(2))
        threshold = 0.4 if factors and random.integers(2) else -1.0
        strides = tuple(8 << level for level in range(levels))
        values: dict[str, Array] = {}
        base = []
        for level, stride in enumerate(strides):
            count = int(random.integers(1, 4))
            height, width = -(-64 // stride), -(-96 // stride)
            halves = random.uniform(0, 2 * stride, (count, 2)).astype(np.float32).tolist()
            base.append(tuple((-w, -h, w, h) for w, h in halves))
            numbers = classes + (activation == "softmax")
            per_anchor = {"scores": numbers, "deltas": coder.numbers, "factors": 1}
            for name, number in per_anchor.items():
                # Whole halves, so that ties occur.
                drawn = np.rint(random.normal(0, 3, (1, height, width, count * number))) / 2
                values[f"{name}{level}"] = drawn.astype(np.float32)
        operation = cls(
            scores=tuple(f"scores{level}" for level in range(levels)),
            deltas=tuple(f"deltas{level}" for level in range(levels)),
            output="y",
            strides=strides,
            base_anchors=tuple(base),
            coder=coder,
            num_classes=classes,
            activation=activation,  # type: ignore[arg-type]  # one of the three, as drawn
            pre_nms=int(random.choice([5, 40, 1000])),
            score_threshold=None if random.integers(2) else 0.25,
            min_size=float(random.choice([-1, 0, 4])),
            factors=tuple(f"factors{level}" for level in range(levels)) if factors else (),
            factor_first=first,
            root=first and activation != "none" and not plain and bool(random.integers(2)),
            best_class=selection == 1,
            whole_anchors=selection == 2,
            plain_factors=plain,
            factor_threshold=threshold,
            together=together,
            unweighted=factors and not first and threshold >= 0 and bool(random.integers(2)),
            numbered=bool(random.integers(2)),
            exact_strides=tuple(s - 0.1 for s in strides) if random.integers(4) == 0 else (),
            things=int(random.choice([0, 0, 2])),
        )
        if random.random() < 0.15:
            operation = replace(operation, deltas=(), min_size=-1.0)
        image = np.zeros((64, 96, 3), np.uint8)
        read = {name: values[name] for name, _ in operation.reads()}
        return Example(operation, read, image=image, resized=(60, 90))
