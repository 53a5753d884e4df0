"""What a run is, in its folder: a later one goes on only where it means the same."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lbwdet.bulk.listing import Shard
from lbwdet.bulk.rows import facts_of
from lbwdet.errors import DataError
from lbwdet.files import PART, write_json

NAME = "_manifest.json"  # readers of folders of Parquet pass over what begins so
# Of these depend the rows; what has changed since is named by these words.
_DECISIVE = {
    "images": "the number of images in the source",
    "source_digest": "the source (names, sizes or times of its files)",
    "artifact_digest": "the artifact",
    "shard_size": "--shard-size",
    "score_threshold": "--score-thr",
}


@dataclass(frozen=True)
class Manifest:
    """What the rows of a folder depend on.

    Attributes:
        source, kind: where the images are, and what that is.
        images, shards: how many there are.
        shard_size: images in a shard, at most.
        source_digest, artifact_digest: of the files.
        artifact: its path.
        score_threshold: rows have boxes with a score above it.
        classes: their names, in the order of the labels.
    """

    source: str
    kind: str
    images: int
    shards: int
    shard_size: int
    source_digest: str
    artifact: str
    artifact_digest: str
    score_threshold: float
    classes: tuple[str, ...]

    @property
    def run(self) -> str:
        """A digest of what decides about the rows; it stands in every shard, too."""
        decisive = {name: getattr(self, name) for name in _DECISIVE}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def check_folder(folder: Path, manifest: Manifest) -> None:
    """Looks whether this run may write here; changes nothing.

    Raises:
        DataError: it is a file, holds something else, or another run's shards.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DataError(f"{folder}: a file is there; name a folder for the shards by --out")
    path = folder / NAME
    if not path.exists():
        if any(PART not in entry.name for entry in folder.iterdir()):
            raise DataError(
                f"{folder}: a folder with other things in it; name one that is empty or not there"
            )
        return
    before = _read(path)
    changed = [
        said for name, said in _DECISIVE.items() if getattr(before, name) != getattr(manifest, name)
    ]
    if changed:
        raise DataError(
            f"{folder}: begun with something else, of which {', '.join(changed)} changed since; "
            "name another folder by --out, or delete this one"
        )


def begin(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest, unless it is there; the folder is locked by the caller.

    Raises:
        DataError: as :func:`check_folder`.
    """
    check_folder(folder, manifest)
    if not (folder / NAME).exists():
        write_json(folder / NAME, asdict(manifest))


def shard_path(folder: Path, number: int) -> Path:
    """Where the rows of a shard stand."""
    return folder / f"shard-{number:07d}.parquet"


def is_done(path: Path, shard: Shard, run: str) -> bool:
    """Whether the rows of a shard are there.

    Raises:
        DataError: the file is damaged, or of another run.
    """
    if not path.exists():
        return False
    facts, rows = facts_of(path)
    if facts.get("run") != run or rows != shard.count:
        raise DataError(f"{path}: not of this run; move it away and run the command again")
    return True


def missing_shards(folder: Path, manifest: Manifest, shards: Sequence[Shard]) -> list[Shard]:
    """The shards that have no file yet.

    Raises:
        DataError: a file is damaged, of another run, or none of these shards.
    """
    known = {shard_path(folder, shard.number) for shard in shards}
    if others := sorted(set(folder.glob("*.parquet")) - known - _temporary(folder)):
        raise DataError(
            f"{others[0]}: none of this run's {len(shards)} shards, but it would be read as one; "
            "move it away"
        )
    run = manifest.run
    return [shard for shard in shards if not is_done(shard_path(folder, shard.number), shard, run)]


def _temporary(folder: Path) -> set[Path]:
    return {path for path in folder.glob(f"*{PART}*")}


def shard_paths(folder: Path, shards: Iterable[Shard]) -> list[Path]:
    """The files of all shards, in the source's order."""
    return [shard_path(folder, shard.number) for shard in shards]


def _read(path: Path) -> Manifest:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["classes"] = tuple(content["classes"])
        return Manifest(**{field.name: content[field.name] for field in fields(Manifest)})
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: damaged, or of another version; name another folder by --out"
        ) from error
