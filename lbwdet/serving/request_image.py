"""The image file in a request's body: the body itself, a part of a form, or base64 in JSON."""

import base64
import binascii
import json
import math

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header

from lbwdet.errors import shown
from lbwdet.serving.refusal import Refused

FORM, JSON = "multipart/form-data", "application/json"
# What programs say that do not know what they send: curl's --data-binary is the second.
_UNSAID = ("", "application/x-www-form-urlencoded")
RAW = ("image/*", "application/octet-stream")
_MOST_PARTS = 16


def check_type(content_type: str) -> None:
    """Refuses a body of a kind that is not read here.

    Raises:
        Refused: 415.
    """
    kind = _kind(content_type)
    if kind not in (FORM, JSON, RAW[1], *_UNSAID) and not kind.startswith("image/"):
        raise Refused(
            415,
            f"a body of the type {shown(kind)} is not read here: send an image file as it is "
            f"({' or '.join(RAW)}), as a file of a form ({FORM}) or as {JSON}",
        )


def image_file(content_type: str, body: bytes) -> bytes:
    """The bytes of the image file that a request holds.

    Args:
        content_type: what the request says; :func:`check_type` has passed it.
        body: all of it.

    Raises:
        Refused: 400, there is no image in it.
    """
    if not body:
        raise Refused(400, "the request has no body; an image file is needed")
    kind = _kind(content_type)
    if kind == FORM:
        return _file_of_form(content_type, body)
    if kind == JSON:
        return _file_of_json(body)
    return body


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _file_of_form(content_type: str, body: bytes) -> bytes:
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if boundary is None:
        raise Refused(400, "the form cannot be read: its Content-Type names no boundary")
    parts: list[Field | File] = []

    def keep(part: Field | File) -> None:
        parts.append(part)
        if len(parts) > _MOST_PARTS:
            raise FormParserError(f"more than {_MOST_PARTS} parts")

    # None of them is written to disk.
    settings = dict(MAX_MEMORY_FILE_SIZE=math.inf, UPLOAD_ERROR_ON_BAD_CTE=True)
    try:
        parser = FormParser(FORM, keep, keep, boundary=boundary, config=settings)
        parser.write(body)
        parser.finalize()
    except ValueError as error:
        raise Refused(400, f"the form cannot be read: {error}") from error
    files = [part for part in parts if isinstance(part, File)]
    if len(files) != 1:
        raise Refused(400, f"the form holds {len(files)} files; one is needed, the image")
    file = files[0].file_object
    file.seek(0)
    return file.read()


def _file_of_json(body: bytes) -> bytes:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    text = value.get("image") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise Refused(400, 'the body has no image: {"image": "base64 of an image file"} is needed')
    if text.startswith("data:"):  # as a browser writes it
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(400, f"the image is not base64: {error}") from error
