import pytest

from lbwdet.deploy.artifact_writer import write_artifact
from lbwdet.deploy.benchmark_engine import (
    NativeBenchmark,
    ReferenceBenchmark,
    with_input_size,
)
from lbwdet.deploy.runtime.native_library import library_path
from lbwdet.deploy.testing import random_image, tiny_artifact


def test_every_image_in_one_size(tmp_path):
    artifact = tiny_artifact(channels=2)
    write_artifact(tmp_path / "model.lbw", artifact)
    assert with_input_size(artifact, None) is artifact
    first, *rest = with_input_size(artifact, (64, 96)).program.operations
    assert (first.size, first.keep_ratio) == ((96, 64), False)
    assert tuple(rest) == artifact.program.operations[1:]
    boxes, scores, labels = ReferenceBenchmark(tmp_path / "model.lbw", (32, 32)).detect(
        random_image(0, 40, 50)
    )
    assert len(boxes) == len(scores) == len(labels)


@pytest.mark.skipif(library_path() is None, reason="the native engine is not built")
def test_times_are_parts_of_a_run(tmp_path):
    write_artifact(tmp_path / "model.lbw", tiny_artifact(channels=2))
    engine = NativeBenchmark(str(tmp_path / "model.lbw"), 1)
    image = random_image(0, 40, 50)
    assert engine.dense(image) > 0
    profile = engine.profile(image)
    assert profile[0]["kind"] == "Preprocess" and profile[-1]["kind"] == "Detections"
