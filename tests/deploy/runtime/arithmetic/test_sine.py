import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lbwdet.deploy.runtime.arithmetic.sine import sine


@given(st.lists(st.floats(-5000, 5000), min_size=1, max_size=20))
def test_it_is_the_sine(places):
    expected = [math.sin(place) for place in places]
    np.testing.assert_allclose(sine(np.array(places)), expected, rtol=0, atol=1e-11)
