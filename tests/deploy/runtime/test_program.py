import pytest

from lbwdet.deploy.runtime.program import Program
from lbwdet.deploy.testing import tiny_artifact, tiny_rfcn_artifact


@pytest.mark.parametrize("make", [tiny_artifact, tiny_rfcn_artifact])
def test_the_dense_part_ends_where_boxes_begin(make):
    program = make(channels=2).program
    dense = program.dense
    assert dense == program.operations[: len(dense)]
    kinds = [type(operation).__name__ for operation in dense]
    assert kinds[0] == "Preprocess" and "Conv" in kinds
    assert not {"Candidates", "RoIAlign", "PSRoIAlign"} & set(kinds)
    assert type(program.operations[len(dense)]).__name__ == "Candidates"
    assert Program(dense, {}).dense == dense  # no boxes at all
