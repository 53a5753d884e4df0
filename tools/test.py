"""The same as ``lbwdet test``."""

import sys

from lbwdet.cli import main

if __name__ == "__main__":
    sys.exit(main(["test", *sys.argv[1:]]))
