"""The same as ``lbwdet compare``."""

import sys

from lbwdet.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
