"""What a command asks of the library, without doing it."""

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from lbwdet.cli import main

Asked = Callable[..., dict[str, Any]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """``asked("module:function", result, *command_line)``: the arguments of that function's call,
    defaults included. The function is not run; it must take these arguments."""

    def run(target: str, result: Any, *command_line: str) -> dict[str, Any]:
        module, _, name = target.partition(":")
        function = getattr(importlib.import_module(module), name)
        signature = inspect.signature(function)
        calls = []

        @functools.wraps(function)
        def record(*arguments: Any, **options: Any) -> Any:
            bound = signature.bind(*arguments, **options)
            bound.apply_defaults()
            calls.append(bound.arguments)
            return result

        monkeypatch.setattr(f"{module}.{name}", record)
        assert main(command_line) == 0
        (call,) = calls
        return call

    return run
