"""A file backend whose writes either happen or do not."""

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from lbwdet.files import atomic_write

NAME = "lbwdet_atomic"


class AtomicLocalBackend(LocalBackend):
    """Local files written under a temporary name and renamed.

    With ``CheckpointHook(backend_args=dict(backend='lbwdet_atomic'))`` a full disk
    or a ``kill -9`` during a checkpoint leaves the previous one in place and no
    half of a new one.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        with atomic_write(filepath) as temporary:
            temporary.write_bytes(obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        self.put(obj.encode(encoding), filepath)


register_backend(NAME, AtomicLocalBackend, force=True)
