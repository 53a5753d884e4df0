import ctypes
import platform

import pytest

from lbwdet.posttraining.allocator import big_blocks_returned

SIZE = 2 << 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is glibc's")
def test_a_big_block_is_gone_when_it_is_freed():
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    with big_blocks_returned():
        block = libc.malloc(SIZE)
        # The header of a block says whether it was mapped by itself: bit 1 of its size.
        size = ctypes.c_size_t.from_address(block - ctypes.sizeof(ctypes.c_size_t)).value
        libc.free(block)
        assert size & 2
    block = libc.malloc(SIZE)
    size = ctypes.c_size_t.from_address(block - ctypes.sizeof(ctypes.c_size_t)).value
    libc.free(block)
    assert not size & 2


def test_without_glibc_nothing_is_changed(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    with big_blocks_returned():
        pass
