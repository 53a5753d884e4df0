"""``lbwdet compare``: several detectors, one test set, one protocol, one report."""
