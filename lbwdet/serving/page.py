"""What a browser gets: the page that runs the model itself, or one that sends pictures here."""

import os
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

import lbwdet
from lbwdet.errors import ConfigError

UPLOAD = Path(__file__).with_name("upload.html")
_CHECKOUT = Path(lbwdet.__file__).parents[1] / "web"
_FOLDERS = ("page", "lbwdet", "built")
_NEWEST = {"Cache-Control": "no-cache"}  # asked for again; unchanged, it is not sent again


def built_page(folder: str | os.PathLike[str] | None) -> Path | None:
    """The folder ``web`` that is served.

    Args:
        folder: as the user says; None: that of the checkout that this package lies in.

    Returns:
        None: it was not built there, and nobody asked for it.

    Raises:
        ConfigError: it was asked for.
    """
    web = Path(_CHECKOUT if folder is None else folder)
    if all((web / name).is_file() for name in ("index.html", "offline.js", "built/files.json")):
        return web
    if folder is None:
        return None
    raise ConfigError(f"{web}: not the page of lbwdet, built: run 'make web' in its repository")


def add_page(app: FastAPI, web: Path | None, artifact: Path) -> None:
    """Adds ``/``, and what belongs to it.

    The page of ``web`` runs the model in the browser and loads it from ``/model.lbw``. Without
    it there is a small page that sends pictures to ``/detect``.
    """
    if web is None:
        _add_file(app, "/", UPLOAD)
        return
    _add_file(app, "/", web / "index.html")
    _add_file(app, "/offline.js", web / "offline.js")
    _add_file(app, "/model.lbw", artifact)
    for name in _FOLDERS:
        app.mount(f"/{name}", StaticFiles(directory=web / name), name=name)


def _add_file(app: FastAPI, address: str, path: Path) -> None:
    async def send() -> FileResponse:
        return FileResponse(path, headers=_NEWEST)

    app.add_api_route(address, send, methods=["GET", "HEAD"], include_in_schema=False)
