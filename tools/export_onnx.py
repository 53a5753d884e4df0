"""The same as ``lbwdet export-onnx``."""

import sys

from lbwdet.cli import main

if __name__ == "__main__":
    sys.exit(main(["export-onnx", *sys.argv[1:]]))
