"""The native engine: everything else about the package is in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup

CSRC = Path("lbwdet/deploy/csrc")
SOURCES = [path for path in CSRC.rglob("*.cpp") if not {"tests", "bench"} & {*path.parts}]
HEADERS = [path for pattern in ("*.h", "*.inl") for path in CSRC.rglob(pattern)]

setup(
    ext_modules=[
        # Loaded by ctypes, from native_library.py: a plain C library, no Python module.
        Extension(
            "lbwdet.deploy.runtime._native",
            sources=sorted(map(str, SOURCES)),
            depends=sorted(map(str, HEADERS)),
            language="c++",
            # Without -ffp-contract=off a compiler may fuse products and sums, which rounds
            # differently. No -march: instruction sets are chosen at run time.
            extra_compile_args=[
                "-O3",
                "-g0",  # Python's own flags ask for debug information, nine tenths of the file
                "-std=c++17",
                "-ffp-contract=off",
                "-fvisibility=hidden",
                "-pthread",
            ],
            extra_link_args=["-pthread"],
            optional=True,  # without a compiler everything else still installs
        )
    ]
)
