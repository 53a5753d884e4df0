"""From an artifact to a server, and to its end."""

import os
from pathlib import Path

from fastapi import FastAPI

from lbwdet.deploy.runtime.artifact import read_artifact
from lbwdet.serving.answers import ModelAnswer
from lbwdet.serving.app import build_app
from lbwdet.serving.metrics import Metrics
from lbwdet.serving.page import add_page, built_page
from lbwdet.serving.server import Server, listening, url_of
from lbwdet.serving.service import Service
from lbwdet.serving.settings import ServingSettings
from lbwdet.serving.workers import Workers


def serve(
    artifact: str | os.PathLike[str],
    host: str,
    port: int,
    settings: ServingSettings,
    page: str | os.PathLike[str] | None = None,
    with_page: bool = True,
) -> None:
    """Serves a model until SIGTERM or SIGINT, then answers what has come and returns.

    Prints the address, once requests are taken.

    Args:
        artifact: a ``model.lbw``.
        host, port: where to listen; port 0: any that is free.
        settings: limits.
        page: folder of the built page for browsers; None: that of the checkout, if it is there.
        with_page: False: neither a page nor the artifact itself are sent to anybody.

    Raises:
        ArtifactError: it is missing or damaged.
        ConfigError: nobody can listen there, or the page is not built.
        NativeError: there is no native engine.
    """
    path, program = Path(artifact), read_artifact(artifact)
    web = built_page(page) if with_page else None
    with listening(host, port) as listener:
        workers = Workers(program, settings.workers, settings.threads_of_each)
        try:
            app = app_of(path, program.classes, workers, settings)
            if with_page:
                add_page(app, web, path)
            server = Server(app, settings.timeout)
            with server.stopped_by_signals():
                print(
                    f"{url_of(listener)}: {path.name}, {workers.isa}, workers: {workers.count}, "
                    f"threads of each: {workers.threads}; Ctrl-C stops it",
                    flush=True,
                )
                server.run(sockets=[listener])
        finally:
            workers.close()
    print("stopped")


def app_of(
    artifact: Path, classes: tuple[str, ...], workers: Workers, settings: ServingSettings
) -> FastAPI:
    """What answers, with everything behind it; without a page."""
    model = ModelAnswer(
        name=artifact.name,
        classes=list(classes),
        bytes=artifact.stat().st_size,
        instruction_set=workers.isa,
        workers=workers.count,
        threads=workers.threads,
        queue=settings.queue,
        max_bytes=settings.max_bytes,
        max_pixels=settings.max_pixels,
        timeout=settings.timeout,
        score=settings.score_thr,
    )
    metrics = Metrics()
    return build_app(Service(workers, settings, metrics), metrics, model)
