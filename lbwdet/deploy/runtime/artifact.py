"""A lowered detector as one object, and as the file ``model.lbw``; see docs/format.md."""

import functools
import math
import os
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lbwdet.deploy.runtime import codes
from lbwdet.deploy.runtime.container import Container, parse_json, read_container
from lbwdet.deploy.runtime.declaration import check_ranges
from lbwdet.deploy.runtime.fields import from_json
from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.runtime.record import dataclass
from lbwdet.deploy.runtime.shapes import Value
from lbwdet.deploy.runtime.validate import MAX_WEIGHTS, check_artifact
from lbwdet.deploy.runtime.weight_entry import WeightEntry
from lbwdet.deploy.runtime.weights import StoredWeight
from lbwdet.errors import ArtifactError, shown

Array = NDArray[Any]

FORMAT_VERSION = 2


@dataclass(frozen=True)
class Artifact:
    """Everything that an engine needs, and what explains where it came from.

    Attributes:
        program: the operations.
        weights: by the layer's name, as ``Conv.layer`` gives it.
        classes: names, in the order of the labels.
        info: JSON values: training config, calibration, versions.
    """

    program: Program
    weights: dict[str, StoredWeight]
    classes: tuple[str, ...]
    info: dict[str, Any]

    @functools.cached_property
    def values(self) -> dict[str, Value]:
        """Every value of the program, by name. All is checked when this is first asked for.

        Raises:
            ArtifactError: see :func:`lbwdet.deploy.runtime.validate.check_artifact`.
        """
        return check_artifact(self.program, self.weights, self.classes)


@dataclass(frozen=True)
class Document:
    """The JSON text of an artifact, key ``lbwdet`` of the file's metadata."""

    format_version: int
    classes: tuple[str, ...]
    program: Program
    weights: dict[str, WeightEntry]
    info: dict[str, Any]


def read_artifact(path: str | os.PathLike[str]) -> Artifact:
    """Reads and checks an artifact; what it returns can be run without further checks.

    Raises:
        ArtifactError: the file is missing, damaged, hostile or of a newer format, or
            its program does not fit together.
    """
    try:
        container = read_container(path)
        document = read_document(container)
        artifact = Artifact(
            document.program, _read_weights(document, container), document.classes, document.info
        )
        artifact.values  # noqa: B018  (checks it)
    except ArtifactError as error:
        raise ArtifactError(f"{os.fspath(path)}: {error}") from error
    return artifact


def read_document(container: Container) -> Document:
    """The document of a file that is whole and of a known version.

    Raises:
        ArtifactError: it is not.
    """
    texts = container.metadata
    if "lbwdet" not in texts:
        raise ArtifactError("a safetensors file, but not an artifact of lbwdet")
    value = parse_json(texts["lbwdet"], "the document")
    version = value.get("format_version") if isinstance(value, dict) else None
    if type(version) is not int or version < 1:
        raise ArtifactError(f"format_version is {shown(version)}, not a version")
    if version > FORMAT_VERSION:
        raise ArtifactError(
            f"format_version is {shown(version)}, this lbwdet reads up to {FORMAT_VERSION}: "
            "update lbwdet, or export the model anew"
        )
    if set(texts) != {"lbwdet", "crc32"}:
        raise ArtifactError(f"the metadata has {shown(sorted(texts))}, not crc32, lbwdet")
    if texts["crc32"] != checksum(texts["lbwdet"], container.data):
        raise ArtifactError("damaged: the checksum does not fit the content; copy the file anew")
    if version == 1:
        from lbwdet.deploy.runtime.format1 import OldDocument

        old: OldDocument = from_json(OldDocument, value, "document")
        return Document(FORMAT_VERSION, old.classes, old.program.upgraded(), old.weights, old.info)
    document: Document = from_json(Document, value, "document")
    return document


def checksum(document: str, data: memoryview | bytes) -> str:
    """CRC-32 of the document's UTF-8 bytes and then the data, as 8 hexadecimal digits."""
    return f"{zlib.crc32(data, zlib.crc32(document.encode())):08x}"


def layer_arrays(layer: str, entry: WeightEntry) -> dict[str, str]:
    """The arrays of a layer: their names in the file by what they hold."""
    return {part: f"{layer}.{part}" for part in ("codes", entry.scale_array, "gain", "bias")}


def _read_weights(document: Document, container: Container) -> dict[str, StoredWeight]:
    entries = document.weights
    expected = {
        name for layer, entry in entries.items() for name in layer_arrays(layer, entry).values()
    }
    if expected != set(container.arrays):
        missing = sorted(expected - set(container.arrays))
        unknown = sorted(set(container.arrays) - expected)
        raise ArtifactError(
            "the arrays are not those of the layers: missing "
            f"{shown(missing)}, unknown {shown(unknown)}"
        )
    for layer, entry in entries.items():
        check_ranges(entry, f"layer {shown(layer)}")
    number = sum(math.prod(entry.shape) for entry in entries.values())
    if number > MAX_WEIGHTS:
        raise ArtifactError(f"{number} weights are too many, at most {MAX_WEIGHTS} are allowed")
    return {layer: _read_weight(layer, entry, container.arrays) for layer, entry in entries.items()}


def _read_weight(layer: str, entry: WeightEntry, arrays: dict[str, Array]) -> StoredWeight:
    parts = {part: arrays[name] for part, name in layer_arrays(layer, entry).items()}
    for part, array in parts.items():
        kind = {"codes": np.uint8, "scale_exponent": np.int16}.get(part, np.float32)
        if array.dtype != kind or array.ndim != 1:
            raise ArtifactError(
                f"array {shown(f'{layer}.{part}')} is {array.dtype} {list(array.shape)} "
                f"instead of {np.dtype(kind)} of one dimension"
            )
    try:
        flat = codes.decode(
            parts["codes"].data, math.prod(entry.shape), entry.bit_width, entry.encoding
        )
    except ArtifactError as error:
        raise ArtifactError(f"array {shown(layer + '.codes')}: {error}") from error
    scale = parts[entry.scale_array].astype(np.float32)
    if entry.scale_array == "scale_exponent":
        with np.errstate(over="ignore"):  # an exponent beyond float32 shows as infinite
            scale = np.ldexp(np.float32(1), parts["scale_exponent"].astype(np.int32))
    return StoredWeight(
        codes=flat.reshape(entry.shape),
        scale=scale,
        code=entry.code,
        bit_width=entry.bit_width,
        num_magnitudes=entry.num_magnitudes,
        gain=parts["gain"].astype(np.float32),
        bias=parts["bias"].astype(np.float32),
    )
