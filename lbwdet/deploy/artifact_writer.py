"""Writing artifacts; reading them is the runtime's part."""

import json
import os

import numpy as np

from lbwdet.deploy.runtime.artifact import (
    FORMAT_VERSION,
    Artifact,
    Document,
    checksum,
    layer_arrays,
)
from lbwdet.deploy.runtime.codes import Array, Encoding, encode
from lbwdet.deploy.runtime.container import container_bytes, lay_out, parse_json
from lbwdet.deploy.runtime.fields import from_json, to_json
from lbwdet.deploy.runtime.validate import check_artifact
from lbwdet.deploy.runtime.weight_entry import WeightEntry
from lbwdet.deploy.runtime.weights import StoredWeight
from lbwdet.errors import ArtifactError
from lbwdet.files import atomic_write


def write_artifact(
    path: str | os.PathLike[str], artifact: Artifact, entropy_coding: bool = False
) -> int:
    """Checks an artifact and writes it; see docs/format.md.

    Args:
        path: of the file, customarily ``*.lbw``; replaced when all is well.
        artifact: equal ones give equal bytes.
        entropy_coding: Huffman codes instead of bits in a row, for the layers where
            that is shorter.

    Returns:
        The size of the file in bytes.

    Raises:
        ArtifactError: the artifact could not be run, with the layer's name and the
            bound, say, where an accumulator could overflow; nothing is written.
    """
    data = artifact_bytes(artifact, entropy_coding)
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
    return len(data)


def artifact_bytes(artifact: Artifact, entropy_coding: bool = False) -> bytes:
    """The file as bytes; arguments and errors as of :func:`write_artifact`."""
    check_artifact(artifact.program, artifact.weights, artifact.classes)
    entries: dict[str, WeightEntry] = {}
    arrays: dict[str, Array] = {}
    for layer, weight in artifact.weights.items():
        encoding, codes = _encoded(weight, entropy_coding)
        entry = WeightEntry(
            weight.codes.shape, weight.code, weight.bit_width, weight.num_magnitudes, encoding
        )
        entries[layer] = entry
        parts = {"codes": codes, "gain": weight.gain, "bias": weight.bias}
        parts[entry.scale_array] = _stored_scale(layer, weight, entry)
        arrays.update({name: parts[part] for part, name in layer_arrays(layer, entry).items()})
    document = Document(FORMAT_VERSION, artifact.classes, artifact.program, entries, artifact.info)
    text = _json_text(document)
    table, data = lay_out(arrays)
    return container_bytes({"crc32": checksum(text, data), "lbwdet": text}, table, data)


def _json_text(document: Document) -> str:
    value = to_json(document, Document)
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"program, classes or info hold what is not JSON: {error}") from error
    if from_json(Document, parse_json(text, "document"), "document") != document:
        raise ArtifactError("info holds what JSON does not give back: use texts as keys, and lists")
    return text


def _encoded(weight: StoredWeight, entropy_coding: bool) -> tuple[Encoding, Array]:
    encodings: tuple[Encoding, ...] = ("bitpack", "deflate") if entropy_coding else ("bitpack",)
    data = {encoding: encode(weight.codes, weight.bit_width, encoding) for encoding in encodings}
    shortest = min(encodings, key=lambda encoding: len(data[encoding]))
    return shortest, np.frombuffer(data[shortest], np.uint8)


def _stored_scale(layer: str, weight: StoredWeight, entry: WeightEntry) -> Array:
    if entry.scale_array == "scale":
        return weight.scale
    mantissa, exponent = np.frexp(weight.scale)
    if (mantissa != 0.5).any():
        raise ArtifactError(
            f"layer {layer!r}: a scale of the {weight.code} code is no power of two"
        )
    return (exponent - 1).astype(np.int16)
