"""The same as ``lbwdet train``."""

import sys

from lbwdet.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
