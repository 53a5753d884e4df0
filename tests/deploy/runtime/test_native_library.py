"""The structs of the native library, and a library that is missing or another's."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import lbwdet.deploy
from lbwdet.deploy.runtime import native_library
from lbwdet.deploy.runtime.native import NativeEngine, NativeError
from lbwdet.deploy.testing import tiny_artifact

HEADER = Path(lbwdet.deploy.__file__).parent / "csrc" / "lbw.h"
STRUCTS = {
    "lbw_preprocess": native_library.PreprocessStruct,
    "lbw_conv": native_library.ConvStruct,
    "lbw_max_pool": native_library.MaxPoolStruct,
    "lbw_requantize": native_library.RequantizeStruct,
    "lbw_box_coder": native_library.BoxCoderStruct,
    "lbw_proposals": native_library.ProposalsStruct,
    "lbw_roi_align": native_library.RoIAlignStruct,
    "lbw_ps_roi_align": native_library.PSRoIAlignStruct,
    "lbw_detections": native_library.DetectionsStruct,
}
compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")


@compiler
def test_the_library_was_built():
    """Where there is a compiler: else every test of the native engine would be skipped."""
    assert native_library.library_path() is not None


def test_every_struct_and_function_of_the_header():
    text = HEADER.read_text()
    assert set(re.findall(r"^\} (\w+);", text, re.M)) == set(STRUCTS)
    assert set(re.findall(r"^LBW_API .*?\b(lbw_\w+)\(", text, re.M)) == set(
        native_library._FUNCTIONS
    )
    assert f"#define LBW_ABI {native_library.ABI}\n" in text


@compiler
def test_layout_of_the_structs(tmp_path):
    lines = []
    for name, struct in STRUCTS.items():
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        for field, *_ in struct._fields_:
            lines.append(f'printf("{name}.{field} %zu\\n", offsetof({name}, {field}));')
    source = tmp_path / "layout.c"
    source.write_text(
        f'#include <stdio.h>\n#include <stddef.h>\n#include "{HEADER}"\n'
        f"int main(void) {{ {' '.join(lines)} return 0; }}\n"
    )
    subprocess.run(["g++", "-x", "c++", source, "-o", tmp_path / "layout"], check=True)
    printed = subprocess.run([tmp_path / "layout"], capture_output=True, text=True, check=True)
    found = dict(line.split() for line in printed.stdout.splitlines())
    for name, struct in STRUCTS.items():
        assert int(found[name]) == ctypes.sizeof(struct)
        for field, *_ in struct._fields_:
            assert int(found[f"{name}.{field}"]) == getattr(struct, field).offset, field


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (None, r"was not built when lbwdet was installed: install a C\+\+ compiler"),
        (Path("/nowhere/_native.so"), "is not the native engine of lbwdet"),
        (Path(__file__), "is not the native engine of lbwdet"),
        (Path("libc.so.6"), "is not the native engine of lbwdet"),
    ],
)
def test_no_such_library(path, message, monkeypatch):
    monkeypatch.setattr(native_library, "library_path", lambda: path)
    with pytest.raises(NativeError, match=message):
        NativeEngine(tiny_artifact())


@pytest.mark.skipif(native_library.library_path() is None, reason="not built")
def test_a_library_of_another_version(monkeypatch):
    monkeypatch.setattr(native_library, "ABI", native_library.ABI + 1)
    native_library.load.cache_clear()
    with pytest.raises(NativeError, match=r"has interface \d+, this lbwdet needs \d+: run"):
        NativeEngine(tiny_artifact())
