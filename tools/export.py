"""The same as ``lbwdet export``."""

import sys

from lbwdet.cli import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
