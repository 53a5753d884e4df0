"""Activation scales from images: which real numbers a program's integers stand for.

A program whose values have no quantization computes in reals; what passes by is counted
(:mod:`.histogram`), who reads a value is asked (:mod:`.readers`), and each value that is stored in
integers (:mod:`.storage`) gets the quantization that suits both.
"""

from lbwdet.deploy.calibration.calibrate import calibrate
from lbwdet.deploy.calibration.histogram import METHODS

__all__ = ["METHODS", "calibrate"]
