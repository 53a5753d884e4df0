import pytest

from lbwdet.deploy.runtime.declaration import check_ranges
from lbwdet.deploy.runtime.fields import from_json
from lbwdet.deploy.runtime.weight_entry import WeightEntry
from lbwdet.errors import ArtifactError

ENTRY = dict(shape=[4, 3, 1, 1], code="paper", bit_width=4, num_magnitudes=7, encoding="bitpack")


@pytest.mark.parametrize(
    ("changes", "array"),
    [
        ({}, "scale_exponent"),
        (dict(code="uniform", bit_width=8, num_magnitudes=0), "scale"),
        (dict(bit_width=1, num_magnitudes=1), "scale"),
    ],
)
def test_the_array_of_the_scale(changes, array):
    entry = from_json(WeightEntry, ENTRY | changes, "layer")
    check_ranges(entry, "layer")
    assert entry.scale_array == array


@pytest.mark.parametrize(
    "changes", [dict(shape=[4, 3, 1, 0]), dict(bit_width=9), dict(num_magnitudes=128)]
)
def test_what_is_out_of_range(changes):
    with pytest.raises(ArtifactError, match=f"layer: {next(iter(changes))} is "):
        check_ranges(from_json(WeightEntry, ENTRY | changes, "layer"), "layer")
