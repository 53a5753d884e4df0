"""What a benchmark is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lbwdet.configs import Overrides
from lbwdet.errors import ConfigError
from lbwdet.measuring.environment import available_cpus

CALIBRATED = ("onnxruntime", "openvino", "onnxruntime-whole", "openvino-whole")
ENGINES = (
    *("torch", "torch-channels-last", "torch-compile"),
    *CALIBRATED,
    "ncnn",
    *("native", "reference"),
)


@dataclass(frozen=True)
class BenchmarkSettings(Overrides):
    """Which engines, on which images, how often.

    Attributes:
        against: of :data:`ENGINES`. ``onnxruntime`` and ``openvino`` stand for fp32 and int8;
            ``ncnn`` for fp32; by themselves of the networks alone, with ``-whole`` of the whole
            detector as one graph.
        config, checkpoint: of the float detector that the peers run; without checkpoint,
            random weights.
        input_size: height and width of the network's input; None: what the models'
            preprocessing makes of the images.
        threads: CPU threads of every engine; None: all.
        rounds: counted rounds over the images.
        images: ``'test'`` (of the config), ``'noise'``, or an image or folder; None: ``'test'``
            where there is a config, else ``'noise'``.
        calibrate: what the peers' int8 is calibrated on, as of :func:`lbwdet.export.export`.
            None: the config's ``'train'`` where ``images`` are the config's, and otherwise the
            images that are timed.
        num_calibrate: number of images to calibrate on.
        accuracy: measure the mAP of every engine on the config's test set.
        num_accuracy_images: only on the first ones.
        isa: instruction set of the native engine; None: the best.
        profile: also the native engine's time per operation.
        quiet_check: also whether the machine was quiet.
        throughput: also how many images are through in a second where each core has one.
        also: more artifacts of the same float detector, for the native engine.

    Raises:
        ConfigError: an engine that there is not, too many threads, or test images without
            a config to take them from.
    """

    against: Sequence[str] = ("torch", "native")
    config: str | None = None
    checkpoint: str | None = None
    input_size: tuple[int, int] | None = None
    threads: int | None = None
    rounds: int = 7
    images: str | None = None
    calibrate: str | None = None
    num_calibrate: int = 32
    accuracy: bool = False
    num_accuracy_images: int | None = None
    isa: str | None = None
    profile: bool = False
    quiet_check: bool = False
    throughput: bool = False
    also: Sequence[str] = ()

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.against) - set(ENGINES)):
            raise ConfigError(
                f"unknown engine {', '.join(unknown)}; choose from {', '.join(ENGINES)}"
            )
        if self.config is None and (self.accuracy or self.source == "test"):
            raise ConfigError(
                "the config's test images are asked for: name the float detector with --float "
                "CONFIG:CHECKPOINT, or give --images FOLDER or --images noise, without --accuracy"
            )
        if self.config is None and self.calibrate is not None and self.calibrates:
            raise ConfigError("calibrate: name the float detector with --float CONFIG:CHECKPOINT")
        if self.also and "native" not in self.against:
            raise ConfigError("further artifacts are for the native engine: add it to --against")
        if not 1 <= self.num_threads <= available_cpus():
            raise ConfigError(
                f"threads={self.threads}: give 1 to {available_cpus()}, the cores there are"
            )

    @property
    def source(self) -> str:
        """Where the timed images come from."""
        return self.images or ("noise" if self.config is None else "test")

    @property
    def num_threads(self) -> int:
        return available_cpus() if self.threads is None else self.threads

    @property
    def calibrates(self) -> bool:
        """Whether one of the engines needs calibration images."""
        return not set(CALIBRATED).isdisjoint(self.against)


@dataclass(frozen=True)
class Bench:
    """One benchmark at work.

    Attributes:
        settings: what was asked for.
        artifact: the exported model.
        folder: for graphs, logs and results.
        unavailable: engine to the reason why it cannot run; filled on the way.
    """

    settings: BenchmarkSettings
    artifact: Path
    folder: Path
    unavailable: dict[str, str] = field(default_factory=dict)
