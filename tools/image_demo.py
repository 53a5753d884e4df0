"""The same as ``lbwdet image-demo``."""

import sys

from lbwdet.cli import main

if __name__ == "__main__":
    sys.exit(main(["image-demo", *sys.argv[1:]]))
