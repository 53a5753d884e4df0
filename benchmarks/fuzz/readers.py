"""Gives damaged images, annotations, lists and checkpoints to their readers (make fuzz).

Each has to be read, or refused by an ``LBWError`` in one sentence. Anything else is kept:
another exception, a process that died, a file that took longer than the limit.

Example:
    python benchmarks/fuzz/readers.py --seconds 120 --out work_dirs/fuzz
"""

import argparse
import io
import multiprocessing
import random
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from mutants import mutant, odd_text

from lbwdet import images
from lbwdet.checkpoints import read_checkpoint
from lbwdet.datasets.image_loading import ImageLoader
from lbwdet.datasets.voc_files import read_annotation, read_ids
from lbwdet.errors import LBWError

SLOWEST = 10.0  # seconds for one file of some kB
MOST_PIXELS = 1 << 24  # so that a header that lies costs no gigabytes here
BATCH = 500  # files that one process reads
ANNOTATION = b"""<annotation><filename>a.jpg</filename>
<size><width>60</width><height>40</height><depth>3</depth></size>
<object><name>cat</name><difficult>0</difficult><bndbox>
<xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></object></annotation>"""

Reader = Callable[[Path], Any]


def seeds() -> dict[str, list[bytes]]:
    """Sound files, by the reader they are for."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = []
    for kind in images.FORMATS:
        for mode in ("RGB", "L"):
            options = {} if kind == "BMP" else dict(exif=exif)
            pictures.append(_encoded(Image.fromarray(pixels).convert(mode), kind, **options))
    deep = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    pictures += [_encoded(deep, kind) for kind in ("PNG", "TIFF")]
    pictures.append(_encoded(Image.fromarray(pixels).convert("P"), "PNG"))
    pictures.append(_encoded(Image.fromarray(pixels), "JPEG", progressive=True))
    state = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.zeros(2)}
    checkpoints = []
    for legacy in (False, True):
        buffer = io.BytesIO()
        content = dict(state_dict=state, meta=dict(epoch=3))
        torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
        checkpoints.append(buffer.getvalue())
    return {
        "image": pictures,
        "annotation": [ANNOTATION, b"\xef\xbb\xbf" + ANNOTATION],
        "list": [b"\xef\xbb\xbf000001\r\n000002\r\n", b"a\nb\n\n c \n"],
        "checkpoint": checkpoints,
    }


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def readers() -> dict[str, list[Reader]]:
    """Every way in which a file of a kind is read."""
    from mmcv.transforms import LoadImageFromFile

    steps = [LoadImageFromFile(color_type=color) for color in ("color", "unchanged")]
    steps.append(LoadImageFromFile(imdecode_backend="pillow"))
    return {
        "image": [images.read_header, images.read_image, *map(ImageLoader, steps)],
        "annotation": [read_annotation],
        "list": [read_ids],
        "checkpoint": [read_checkpoint],
    }


def fuzz(seed: int, count: int, path: Path) -> Counter[str]:
    """Reads ``count`` mutants, each written to ``path`` first.

    Returns:
        How many were read and how many refused, by kind.

    Raises:
        AssertionError: one was too slow.
        Exception: whatever a reader raised that is no ``LBWError``.
    """
    rng, all_seeds, all_readers = random.Random(seed), seeds(), readers()
    kinds = ("image", "image", "image", "annotation", "list", "checkpoint")
    counts: Counter[str] = Counter()
    for _ in range(count):
        kind = rng.choice(kinds)
        first, other = rng.choice(all_seeds[kind]), rng.choice(all_seeds[kind])
        odd = kind == "annotation" and rng.random() < 0.5
        path.write_bytes(odd_text(first, rng) if odd else mutant(first, rng, other))
        for reader in all_readers[kind]:
            start = time.monotonic()
            try:
                reader(path)
                counts[f"{kind} read"] += 1
            except LBWError:
                counts[f"{kind} refused"] += 1
            assert time.monotonic() - start < SLOWEST, f"{reader} took too long"
    return counts


def _batch(seed: int, path: Path, answers: Any) -> None:
    images.MAX_PIXELS = MOST_PIXELS
    try:
        answers.put(fuzz(seed, BATCH, path))
    except Exception as error:
        answers.put(f"{type(error).__name__}: {error}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Give damaged files to their readers.")
    parser.add_argument("--seconds", type=float, default=120, help="how long [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="of the first batch [%(default)s]")
    parser.add_argument("--out", default="work_dirs/fuzz", help="what was found [%(default)s]")
    options = parser.parse_args(arguments)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("fork")
    counts: Counter[str] = Counter()
    found = 0
    started, seed = time.monotonic(), options.seed
    while time.monotonic() - started < options.seconds:
        path, answers = out / "current", context.SimpleQueue()
        process = context.Process(target=_batch, args=(seed, path, answers))
        process.start()
        process.join(BATCH)
        answer = "no answer" if answers.empty() else answers.get()
        if isinstance(answer, Counter):
            counts += answer
        else:
            process.kill()
            process.join()
            found += 1
            kept = out / f"found-{zlib.crc32(path.read_bytes()):08x}"
            path.rename(kept)
            print(f"{kept}: {answer} (exit code {process.exitcode}, seed {seed})")
        seed += 1
    print(f"{counts.total():,} readings of damaged files, {found} faults")
    for what, count in sorted(counts.items()):
        print(f"  {what}: {count:,}")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
