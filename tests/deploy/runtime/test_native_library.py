"""The functions of the native library, and a library that is missing or another's."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import lbwdet.deploy
from lbwdet.deploy.runtime import native_library
from lbwdet.deploy.runtime.native import NativeEngine, NativeError
from lbwdet.deploy.runtime.native_library import Field, FieldKind
from lbwdet.deploy.testing import tiny_artifact

HEADER = Path(lbwdet.deploy.__file__).parent / "csrc" / "lbw.h"
C_TYPES = {
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "const char*": ctypes.c_char_p,
    "lbw_engine*": ctypes.c_void_p,
    "void": None,
    "const lbw_field*": ctypes.POINTER(Field),
}
compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")


@compiler
def test_the_library_was_built():
    """Where there is a compiler: else every test of the native engine would be skipped."""
    assert native_library.library_path() is not None


def test_every_struct_and_function_of_the_header():
    text = HEADER.read_text()
    assert re.findall(r"^\} (\w+);", text, re.M) == ["lbw_field"]
    assert set(re.findall(r"^LBW_API .*?\b(lbw_\w+)\(", text, re.M)) == set(
        native_library._FUNCTIONS
    )
    assert f"#define LBW_ABI {native_library.ABI}\n" in text


def test_types_of_results_and_arguments():
    text = re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S))
    declared = re.findall(r"LBW_API ([\w ]+\*?) ?(lbw_\w+)\((.*?)\);", text)
    assert len(declared) == len(native_library._FUNCTIONS)
    for result, name, arguments in declared:
        found = [
            re.sub(r" ?\w+$", "", argument.strip())
            for argument in arguments.split(",")
            if argument.strip() != "void"
        ]
        expected_result, expected = native_library._FUNCTIONS[name]
        assert C_TYPES[result.strip()] is expected_result, name
        assert len(found) == len(expected), name
        for kind, wanted in zip(found, expected, strict=True):
            if name == "lbw_memory" and kind == "int64_t*":  # where a number goes
                assert wanted is ctypes.POINTER(ctypes.c_int64)
                continue
            # Other pointers are addresses of arrays.
            assert C_TYPES.get(kind, ctypes.c_void_p) is wanted, f"{name}: {kind}"


def test_kinds_of_fields():
    declared = dict(re.findall(r"LBW_(\w+) = (\d+)", HEADER.read_text()))
    assert declared == {kind.name: str(kind.value) for kind in FieldKind}


@compiler
def test_layout_of_a_field(tmp_path):
    names = [name for name, _ in Field._fields_]
    lines = [f'printf("{name} %zu\\n", offsetof(lbw_field, {name}));' for name in names]
    source = tmp_path / "layout.c"
    source.write_text(
        f'#include <stdio.h>\n#include <stddef.h>\n#include "{HEADER}"\n'
        f'int main(void) {{ printf("size %zu\\n", sizeof(lbw_field)); '
        f"{' '.join(lines)} return 0; }}\n"
    )
    subprocess.run(["g++", "-x", "c++", source, "-o", tmp_path / "layout"], check=True)
    printed = subprocess.run([tmp_path / "layout"], capture_output=True, text=True, check=True)
    found = dict(line.split() for line in printed.stdout.splitlines())
    assert int(found.pop("size")) == ctypes.sizeof(Field)
    assert {name: int(offset) for name, offset in found.items()} == {
        name: getattr(Field, name).offset for name in names
    }


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
