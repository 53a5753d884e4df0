"""The addresses of a server, and what OpenAPI says of them."""

from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from lbwdet import __version__
from lbwdet.serving.answers import HealthAnswer, ImageAnswer, ModelAnswer, RefusalAnswer
from lbwdet.serving.metrics import CONTENT_TYPE_LATEST, Metrics
from lbwdet.serving.refusal import Refused
from lbwdet.serving.request_image import FORM, JSON, RAW
from lbwdet.serving.service import Service

_FILE = {"type": "string", "format": "binary"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "An image: JPEG, PNG, BMP, TIFF or WebP.",
        "content": {
            **{kind: {"schema": _FILE} for kind in RAW},
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {"image": _FILE},
                }
            },
            JSON: {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {"image": {"type": "string", "format": "byte"}},
                }
            },
        },
    }
}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": RefusalAnswer, "description": "There is no image in it, or a damaged one."},
    408: {"model": RefusalAnswer, "description": "The body did not come in time."},
    413: {"model": RefusalAnswer, "description": "Too many bytes or pixels."},
    415: {"model": RefusalAnswer, "description": "Of a kind that is not read."},
    422: {"model": RefusalAnswer, "description": "A parameter is out of range."},
    429: {"model": RefusalAnswer, "description": "The queue is full; see Retry-After."},
    503: {"model": RefusalAnswer, "description": "No worker was free in time; see Retry-After."},
    504: {"model": RefusalAnswer, "description": "The detector was not through in time."},
}
Score = Annotated[
    float | None,
    Query(ge=0, le=1, description="boxes of this score and above [as GET /model says]"),
]


def build_app(service: Service, metrics: Metrics, model: ModelAnswer) -> FastAPI:
    """The addresses but for the page.

    Args:
        service: answers ``POST /detect``.
        metrics: of ``GET /metrics``.
        model: of ``GET /model``.
    """
    # Their pages would load scripts of other servers.
    app = FastAPI(title="lbwdet", version=__version__, docs_url=None, redoc_url=None)

    @app.post(
        "/detect",
        summary="Objects in an image",
        response_model=ImageAnswer,
        responses=_REFUSALS,
        openapi_extra=_BODY,
    )
    async def detect(request: Request, score: Score = None) -> Response:
        if unknown := sorted(set(request.query_params) - {"score"}):
            raise Refused(422, f"query.{unknown[0]}: no parameter; there is score")
        headers = request.headers.get("content-type", ""), request.headers.get("content-length")
        return Response(await service.detect(headers, request.receive, score), media_type=JSON)

    @app.get("/health", summary="Whether requests are taken")
    async def health() -> HealthAnswer:
        return HealthAnswer(status="ok")

    @app.get("/model", summary="What runs here")
    async def about() -> ModelAnswer:
        return model

    @app.get("/metrics", summary="Counters in Prometheus' text format", response_class=Response)
    async def counters() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(Refused)
    async def refused(_: Request, refusal: Refused) -> JSONResponse:
        headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
        return _refusal(refusal.status, str(refusal), headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return _refusal(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}", {})

    return app


def _refusal(status: int, message: str, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse(RefusalAnswer(detail=message).model_dump(), status, headers)
