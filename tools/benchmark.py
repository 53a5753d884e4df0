"""The same as ``lbwdet benchmark``."""

import sys

from lbwdet.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", *sys.argv[1:]]))
