import platform
import subprocess
import sys

import pytest

from lbwdet.posttraining.allocator import big_blocks_returned

# In a process of its own: what others have freed decides where a block comes from.
SCRIPT = """
import ctypes
from lbwdet.posttraining.allocator import big_blocks_returned

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]


def mapped_by_itself():
    block = libc.malloc(2 << 20)
    # The header of a block says so: bit 1 of its size.
    size = ctypes.c_size_t.from_address(block - ctypes.sizeof(ctypes.c_size_t)).value
    libc.free(block)
    return bool(size & 2)


with big_blocks_returned():
    assert mapped_by_itself()
assert not mapped_by_itself()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is glibc's")
def test_a_big_block_is_gone_when_it_is_freed():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=120)


def test_without_glibc_nothing_is_changed(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    with big_blocks_returned():
        pass
