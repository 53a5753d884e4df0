import dataclasses

import pytest

from lbwdet.posttraining import PostTraining


def test_settings_cannot_change_under_a_run():
    settings = PostTraining()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.damping = 0.5
    assert dataclasses.replace(settings, damping=0.5) != settings
