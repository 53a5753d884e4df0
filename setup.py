"""The native engine: everything else about the package is in pyproject.toml."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

CSRC = Path("lbwdet/deploy/csrc")
SOURCES = [path for path in CSRC.rglob("*.cpp") if not {"tests", "bench"} & {*path.parts}]
OBJECTS = Path("build/objects")
HEADERS = [path for pattern in ("*.h", "*.inl") for path in CSRC.rglob(pattern)]
WINDOWS = sys.platform == "win32"

# Without -ffp-contract=off a compiler may fuse products and sums, which rounds differently.
# No -march: instruction sets are chosen at run time. -g0: else Python's own flags make it 16 MB.
FLAGS = ["-O3", "-g0", "-std=c++17", "-ffp-contract=off", "-fvisibility=hidden", "-pthread"]
# /MT: a Windows without Visual C++ has no library of C++.
CLANG_CL_FLAGS = ["/O2", "/std:c++17", "/clang:-ffp-contract=off", "/MT"]


class Library(build_ext):
    """Loaded by ctypes, from native_library.py: a plain C library, no module of one Python."""

    def finalize_options(self):
        super().finalize_options()
        self.build_temp = str(OBJECTS)  # of `pip install -e`, too, so that tests find them there

    def get_ext_filename(self, fullname):
        return os.path.join(*fullname.split(".")) + (".dll" if WINDOWS else ".so")

    def get_export_symbols(self, ext):
        return ext.export_symbols  # no PyInit_...: lbw.h says what is exported

    def build_extension(self, ext):
        if self.compiler.compiler_type == "msvc":
            use_clang_cl(self.compiler, self.plat_name)
        compile_one_by_one = self.compiler.compile

        def compile_in_parallel(sources, **options):
            options["extra_postargs"] = [
                *(options.get("extra_postargs") or []),
                *precompiled(self.compiler, Path(self.build_temp)),
            ]
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                made = pool.map(lambda source: compile_one_by_one([source], **options), sources)
                return [path for paths in made for path in paths]

        self.compiler.compile = compile_in_parallel
        super().build_extension(ext)


def precompiled(compiler, folder):
    """Flags with which a file begins with the standard headers, which GCC reads once.

    Where its flags are others than those of a file, it reads them again, without a word.
    """
    command = getattr(compiler, "compiler_so_cxx", None) or getattr(compiler, "compiler_so", None)
    if WINDOWS or not command:
        return []
    try:
        version = subprocess.run([command[0], "--version"], capture_output=True, text=True)
        if "Free Software Foundation" not in version.stdout:
            return []
        folder.mkdir(parents=True, exist_ok=True)
        header = str(shutil.copy(CSRC / "standard_headers.h", folder))
        made = ["-x", "c++-header", header, "-o", f"{header}.gch"]
        subprocess.run([*command, *FLAGS, *made], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return ["-include", header]


def use_clang_cl(compiler, platform):
    """MSVC's own compiler knows neither the attributes nor the built-in functions of the sources.

    Its headers, its linker and its library serve.
    """
    clang_cl = shutil.which("clang-cl")
    if clang_cl is None:
        raise CompileError("clang-cl is not here: install LLVM")
    if not compiler.initialized:
        compiler.initialize(platform)
    compiler.cc = clang_cl
    cpu = {"win-amd64": "x86_64", "win-arm64": "aarch64"}[platform]
    compiler.compile_options.append(f"--target={cpu}-pc-windows-msvc")


class WheelOfEveryPython(bdist_wheel):
    """The library depends on the machine, but not on Python."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


setup(
    cmdclass={"build_ext": Library, "bdist_wheel": WheelOfEveryPython},
    ext_modules=[
        Extension(
            "lbwdet.deploy.runtime._native",
            sources=sorted(map(str, SOURCES)),
            depends=sorted(map(str, HEADERS)),
            language="c++",
            extra_compile_args=CLANG_CL_FLAGS if WINDOWS else FLAGS,
            extra_link_args=[] if WINDOWS else ["-pthread"],
            optional=True,  # without a compiler everything else still installs
        )
    ],
)
