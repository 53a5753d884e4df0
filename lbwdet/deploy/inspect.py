"""What is in an artifact, for people and for programs."""

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lbwdet.deploy.float_parts import float_parts, measure
from lbwdet.deploy.runtime.artifact import (
    Artifact,
    layer_arrays,
    read_artifact,
    read_document,
)
from lbwdet.deploy.runtime.codes import Array
from lbwdet.deploy.runtime.container import parse_json, read_container
from lbwdet.deploy.runtime.declaration import roles
from lbwdet.deploy.runtime.fields import to_json
from lbwdet.deploy.runtime.operation import Operation
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.quantization import Quantization
from lbwdet.deploy.runtime.weight_entry import WeightEntry
from lbwdet.deploy.runtime.weights import StoredWeight
from lbwdet.terminal import printable


def describe(path: str | os.PathLike[str], as_json: bool = False) -> str:
    """An artifact in words and tables, or all of :func:`facts` as JSON.

    What computes in float32 is listed with its share of the time, for which the native engine,
    where there is one, runs on one image.

    Raises:
        ArtifactError: the file cannot be run.
    """
    artifact = read_artifact(path)
    found = _facts(path, artifact)
    if as_json:
        return json.dumps(found, indent=2)
    return _text(found, artifact.program)


def facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What an artifact holds, as JSON values: sizes, program, layers, origin.

    Of each layer: ``zeros`` (share of the weights), ``entropy`` (bits per weight of the
    codes, each taken by itself), ``code_bytes`` (as stored), ``dropped`` (weights
    that an engine's integers cannot hold, see ``StoredWeight.integers``). Of each operation that
    computes in ``float32``: see :class:`~lbwdet.deploy.float_parts.FloatPart`.

    Raises:
        ArtifactError: the file cannot be run.
    """
    return _facts(path, read_artifact(path))


def _facts(path: str | os.PathLike[str], artifact: Artifact) -> dict[str, Any]:
    container = read_container(path)
    document = read_document(container)
    layers = [
        _layer(name, entry, artifact.weights[name], container.arrays)
        for name, entry in document.weights.items()
    ]
    size = Path(path).stat().st_size
    costs, measured = measure(artifact)
    return {
        "file": os.fspath(path),
        # That of the file; the program is in today's operations.
        "format_version": parse_json(container.metadata["lbwdet"], "document")["format_version"],
        "bytes": size,
        "header_bytes": size - len(container.data),
        "classes": list(artifact.classes),
        "info": artifact.info,
        "program": to_json(artifact.program, Program),
        "operations": dict(Counter(type(op).__name__ for op in artifact.program.operations)),
        "layers": layers,
        "weights": sum(layer["weights"] for layer in layers),
        "code_bytes": sum(layer["code_bytes"] for layer in layers),
        "dropped": sum(layer["dropped"] for layer in layers),
        "float32": [dataclasses.asdict(part) for part in float_parts(artifact.program, costs)],
        "measured": measured,
    }


def _layer(
    name: str, entry: WeightEntry, weight: StoredWeight, arrays: Mapping[str, Array]
) -> dict[str, Any]:
    parts = {part: arrays[array] for part, array in layer_arrays(name, entry).items()}
    counts = np.bincount(weight.codes.reshape(-1).view(np.uint8), minlength=256)
    share = counts[counts > 0] / weight.codes.size
    scale = parts[entry.scale_array]
    return {
        "name": name,
        "shape": list(entry.shape),
        "code": entry.code,
        "bit_width": entry.bit_width,
        "num_magnitudes": entry.num_magnitudes,
        "encoding": entry.encoding,
        entry.scale_array: sorted({scale.min().item(), scale.max().item()}),
        "weights": weight.codes.size,
        "zeros": counts[0].item() / weight.codes.size,
        "entropy": float(-(share * np.log2(share)).sum()) + 0.0,  # not -0
        "code_bytes": parts["codes"].nbytes,
        "vector_bytes": sum(array.nbytes for part, array in parts.items() if part != "codes"),
        "dropped": weight.integers().dropped,
    }


def _text(found: Mapping[str, Any], program: Program) -> str:
    layers = found["layers"]
    vectors = sum(layer["vector_bytes"] for layer in layers)
    bits = 8 * found["code_bytes"] / found["weights"]
    entropy = sum(layer["entropy"] * layer["weights"] for layer in layers) / found["weights"]
    lines = [
        f"{found['file']}: format {found['format_version']}, {found['bytes']:,} bytes",
        f"  codes {found['code_bytes']:,}, scales, gain and bias {vectors:,}, "
        f"header {found['header_bytes']:,}",
        f"  {found['weights']:,} weights of {bits:.2f} bits (entropy {entropy:.2f}); "
        f"{found['dropped']:,} below the integers' window become 0",
        f"classes ({len(found['classes'])}): {', '.join(found['classes'])}",
        *_origin(found["info"]),
        "",
        f"operations: {', '.join(f'{n} {name}' for name, n in found['operations'].items())}",
        *_table(_operation_rows(program), "<<<<<<"),
        "",
        *_float_lines(found),
        "",
        "layers:",
        *_table(_layer_rows(layers), "<<<>>>>>>"),
    ]
    return "\n".join(printable(line.rstrip()) for line in lines)  # names are of any origin


def _origin(info: Mapping[str, Any]) -> list[str]:
    """``info`` with one line per entry; what is long is cut."""
    texts = {key: json.dumps(value, ensure_ascii=False) for key, value in info.items()}
    return [
        f"{key}: {text if len(text) <= 200 else text[:197] + '...'}" for key, text in texts.items()
    ]


def _operation_rows(program: Program) -> list[list[str]]:
    rows = [["#", "operation", "reads", "writes", "as", "how"]]
    for index, operation in enumerate(program.operations):
        written = operation.written
        quantization = program.quantizations.get(written)
        rows.append(
            [
                str(index),
                type(operation).__name__,
                " ".join(name for name, _ in operation.reads()) or "the image",
                written or "detections",
                _quantization(quantization) if quantization else "float32",
                _how(operation),
            ]
        )
    return rows


def _float_lines(found: Mapping[str, Any]) -> list[str]:
    """What is not computed in integers."""
    parts = found["float32"]
    if not parts:
        return ["float32: nothing but scaling and rounding"]
    shares = [part["share"] for part in parts if part["share"] is not None]
    total = f", {sum(shares):.1%} of the time" if shares else ""
    rows = [["#", "operation", "writes", "computes in float32", "time"]]
    for part in parts:
        share = "" if part["share"] is None else f"{part['share']:.1%}"
        rows.append(
            [
                str(part["index"]),
                part["operation"],
                part["output"] or "detections",
                part["computes"],
                share,
            ]
        )
    return [
        f"float32, apart from scaling and rounding: {len(parts)} operations{total} "
        f"({found['measured']})",
        *_table(rows, "<<<<>"),
    ]


def _quantization(q: Quantization) -> str:
    text = f"u8 * {q.scale:.4g}"
    text += f", zero {q.zero_point}" if q.zero_point else ""
    text += f", up to {q.maximum}" if q.maximum != 255 else ""
    return text + (f", {q.rounding}" if q.rounding != "nearest" else "")


def _how(operation: Operation) -> str:
    """Layers, and those settings that are short and not what they are by themselves."""
    words = list(operation.layers())
    names = {field for field, _, _ in roles(operation)}
    for field in dataclasses.fields(operation):
        value = getattr(operation, field.name)
        if field.name in names or value == field.default:
            continue
        if isinstance(value, bool):
            words.append(field.name if value else "")
        elif isinstance(value, str):
            words.append(f"{field.name} {value}")
        elif isinstance(value, int | float):
            words.append(f"{field.name} {value:g}")
        elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], int):
            words.append(f"{field.name} {'x'.join(map(str, value))}")
    return " ".join(filter(None, words))


def _layer_rows(layers: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    rows = [["layer", "shape", "code", "scale", "zeros", "entropy", "stored", "bytes", "dropped"]]
    for layer in layers:
        exponent = layer.get("scale_exponent")
        scale = [f"2^{s}" for s in exponent] if exponent else [f"{s:.3g}" for s in layer["scale"]]
        rows.append(
            [
                layer["name"],
                "x".join(map(str, layer["shape"])),
                f"{layer['bit_width']}bit {layer['code']}",
                "..".join(scale),
                f"{layer['zeros']:.1%}",
                f"{layer['entropy']:.2f}",
                f"{8 * layer['code_bytes'] / layer['weights']:.2f} {layer['encoding']}",
                f"{layer['code_bytes'] + layer['vector_bytes']:,}",
                f"{layer['dropped']:,}",
            ]
        )
    return rows


def _table(rows: Sequence[Sequence[str]], alignment: str) -> list[str]:
    widths = [min(max(map(len, column)), 60) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:{align}{width}}"
            for cell, align, width in zip(row, alignment, widths, strict=True)
        )
        for row in rows
    ]
