"""Small artifacts for tests of the native engine."""

from lbwdet.deploy.runtime import native
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.testing import tiny_artifact, tiny_rfcn_artifact

ISAS = (
    [name for name, usable in native.instruction_sets().items() if usable] if library_path() else []
)
SIZES = [(96, 128), (61, 97), (300, 40), (1, 1), (33, 500)]
ARTIFACTS = {
    "4bit": {},
    "6bit": dict(bit_width=6, code="paper", granularity="channel"),
    "6bit_two_term": dict(bit_width=6, code="two-term", granularity="channel"),
    "2bit_activations_4bit": dict(bit_width=2, activation_bits=4, seed=3),
    "agnostic": dict(class_agnostic=True, keep_ratio=False, size=(75, 90), seed=4),
    "odd_channels": dict(channels=11, num_classes=1, seed=5),
    "wide": dict(channels=40, seed=6),
    "rfcn": dict(make=tiny_rfcn_artifact),
    "rfcn_7x7": dict(make=tiny_rfcn_artifact, grid_size=7, sampling_ratio=0, channels=11, seed=7),
}


def made(key):
    settings = dict(ARTIFACTS[key])
    return settings.pop("make", tiny_artifact)(**settings)


def names_of(artifact):
    return [operation.written for operation in artifact.program.operations[:-1]]
