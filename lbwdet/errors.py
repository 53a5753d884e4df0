"""Errors meant for the person at the keyboard: what is wrong, what is allowed, what to do."""


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
