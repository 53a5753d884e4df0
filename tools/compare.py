"""Compares detectors on one test set; see ``python tools/compare.py --help``."""

import sys

from lbwdet.evaluation.command import main

if __name__ == "__main__":
    sys.exit(main())
