"""Errors meant for the person at the keyboard: what is wrong, what is allowed, what to do."""

import reprlib

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
_SHORT.maxstring = 80


class LBWError(Exception):
    """Base class; command line tools print its message and exit with code 2."""


class ConfigError(LBWError, ValueError):
    """A setting is unknown or out of range."""


class DataError(LBWError):
    """Images or annotations are missing or unusable."""


class CheckpointError(LBWError):
    """A checkpoint is missing, corrupt or does not fit the model."""


class ArtifactError(LBWError):
    """An artifact is damaged, hostile, of another version, or its program makes no sense."""


def first_line(error: BaseException) -> str:
    """What another library's error says, for a message of our own; its class if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def shown(value: object) -> str:
    """A value for a message, cut where it is long.

    >>> shown(["a"] * 1000)
    "['a', 'a', 'a', 'a', 'a', 'a', ...]"
    """
    if type(value) is str and len(value) <= _SHORT.maxstring:  # quickly: of every name in a program
        text = repr(value)
        if len(text) <= _SHORT.maxstring:
            return text
    text = _SHORT.repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
