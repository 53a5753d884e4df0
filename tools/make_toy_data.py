"""Draws the toy data set: python tools/make_toy_data.py --root data/toy"""

import argparse
import functools
import sys

from tqdm import tqdm

from lbwdet.datasets.toy import make_toy_dataset
from lbwdet.errors import LBWError


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--root", default="data/toy", help="folder to make; reused if complete")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-trainval", type=int, default=500, help="training images")
    parser.add_argument("--num-test", type=int, default=150, help="test images")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(192, 160), metavar=("WIDTH", "HEIGHT")
    )
    args = parser.parse_args()
    try:
        manifest = make_toy_dataset(
            args.root,
            seed=args.seed,
            num_trainval=args.num_trainval,
            num_test=args.num_test,
            size=tuple(args.size),
            progress=functools.partial(tqdm, desc="drawing", unit="image"),
        )
    except LBWError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for split, counts in manifest["boxes"].items():
        images = manifest["parameters"][f"num_{split}"]
        per_class = ", ".join(f"{name} {count}" for name, count in counts.items())
        print(f"{split}: {images} images, {sum(counts.values())} boxes ({per_class})")
    print(f"{args.root}: sha256 {manifest['digest'][:16]}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
