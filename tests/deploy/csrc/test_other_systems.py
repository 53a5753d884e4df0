"""The engine compiles, without a warning, for systems that are not at hand: make cross.

Whether it runs there only they can tell.
"""

import re

import pytest

from tests.deploy.csrc import build
from tests.deploy.csrc.machines import zig

FUNCTIONS = re.findall(r"^LBW_API .*?\b(lbw_\w+)\(", (build.CSRC / "lbw.h").read_text(), re.M)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("system", ["windows-gnu", "macos", "linux-gnu", "linux-musl"])
@pytest.mark.parametrize("cpu", ["x86_64", "aarch64"])
def test_it_compiles(cpu, system):
    compiler = zig(f"{cpu}-{system}")
    if compiler is None:
        pytest.skip("no zig: pip install 'lbwdet[cross]'")
    content = build.library(flags=("-O0",), compiler=compiler).read_bytes()
    starts = {"windows-gnu": b"MZ", "macos": b"\xcf\xfa\xed\xfe"}
    assert content.startswith(starts.get(system, b"\x7fELF"))
    assert FUNCTIONS and all(name.encode() + b"\0" in content for name in FUNCTIONS)
