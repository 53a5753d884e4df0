"""The same as ``lbwdet make-toy-data``."""

import sys

from lbwdet.cli import main

if __name__ == "__main__":
    sys.exit(main(["make-toy-data", *sys.argv[1:]]))
