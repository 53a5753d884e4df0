import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lbwdet.deploy.runtime.arithmetic.logarithm import log


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=20))
def test_it_is_the_logarithm(numbers):
    expected = [math.log(number) for number in numbers]
    np.testing.assert_allclose(log(np.array(numbers)), expected, rtol=1e-15, atol=1e-16)
