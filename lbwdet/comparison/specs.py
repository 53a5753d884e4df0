"""``NAME=CONFIG:CHECKPOINT`` as people write it on a command line."""

from dataclasses import dataclass
from pathlib import Path

from lbwdet.errors import ConfigError

CONFIG_SUFFIXES = (".py", ".json", ".yaml", ".yml")
FORM = "NAME=CONFIG:CHECKPOINT, for example 6bit=configs/lbw_frcnn_voc_6bit.py:work_dirs/6bit.pth"
ARTIFACT_FORM = "NAME=MODEL.lbw[@ENGINE], for example 6bit=6bit.lbw or 6bit=6bit.lbw@reference"
ARTIFACT_SUFFIX = ".lbw"


@dataclass(frozen=True)
class ModelSpec:
    """A model to compare: its name in the tables, its config and its checkpoint."""

    name: str
    config: str
    checkpoint: str

    @classmethod
    def parse(cls, text: str) -> "ModelSpec":
        """Reads ``NAME=CONFIG:CHECKPOINT``.

        Paths may hold ':' and '=' themselves (``C:\\runs``, ``lr=0.01``): the
        name ends at the first '=', the config at a ':' that follows a config
        file's suffix. Where several do, the split whose two files exist wins,
        then the first.

        Raises:
            ConfigError: The text does not have this form.
        """
        name, equals, paths = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"{text!r}: no name before a '='; write {FORM}")
        splits = [
            (paths[:place], paths[place + 1 :])
            for place, letter in enumerate(paths)
            if letter == ":" and paths[:place].lower().endswith(CONFIG_SUFFIXES)
        ]
        splits = [(config, checkpoint) for config, checkpoint in splits if checkpoint]
        if not splits:
            raise ConfigError(
                f"{text!r}: no CONFIG ({', '.join(CONFIG_SUFFIXES)}) and CHECKPOINT with a ':' "
                f"between them; write {FORM}"
            )
        existing = [split for split in splits if all(Path(part).is_file() for part in split)]
        config, checkpoint = (existing or splits)[0]
        return cls(name.strip(), config, checkpoint)


@dataclass(frozen=True)
class ArtifactSpec:
    """An exported model to compare: its name in the tables, its file, and what runs it."""

    name: str
    path: str
    engine: str = "native"


def parse_model(text: str) -> ModelSpec | ArtifactSpec:
    """Reads ``NAME=CONFIG:CHECKPOINT`` or ``NAME=MODEL.lbw[@ENGINE]``.

    Raises:
        ConfigError: it has neither form.

    >>> parse_model("6bit=out/6bit.lbw@reference")
    ArtifactSpec(name='6bit', path='out/6bit.lbw', engine='reference')
    """
    name, _, path = text.partition("=")
    if path.lower().endswith(ARTIFACT_SUFFIX):
        engine = "native"
    else:
        path, _, engine = path.rpartition("@")
    if path.lower().endswith(ARTIFACT_SUFFIX) and name.strip() and engine:
        return ArtifactSpec(name.strip(), path, engine)
    try:
        return ModelSpec.parse(text)
    except ConfigError as error:
        raise ConfigError(f"{error}; or {ARTIFACT_FORM}") from None


def parse_float(text: str) -> tuple[str, str | None]:
    """Reads ``CONFIG:CHECKPOINT`` or ``CONFIG``.

    >>> parse_float("a.py:b.pth"), parse_float("a.py")
    (('a.py', 'b.pth'), ('a.py', None))
    """
    if text.lower().endswith(CONFIG_SUFFIXES):
        return text, None
    spec = ModelSpec.parse(f"float={text}")
    return spec.config, spec.checkpoint


def parse_size(text: str) -> tuple[int, int]:
    """Reads ``HxW``.

    Raises:
        ConfigError: it is not two positive numbers.

    >>> parse_size("608x1024")
    (608, 1024)
    """
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise ConfigError(f"size {text!r}: write HEIGHTxWIDTH, for example 608x1024")
    return int(height), int(width)
