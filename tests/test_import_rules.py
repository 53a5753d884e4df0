"""Who may import whom, read from the source; and `import lbwdet` is quick."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lbwdet

PACKAGE = Path(lbwdet.__file__).parent
BASICS = {"errors", "files"}  # plain Python, for everyone
SHARED = {"configs", "checkpoints"}  # reading what runs begin with
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "files": set(),
    "configs": set(),
    "checkpoints": set(),
    "compat": set(),
    "quantizers": set(),
    "studies": set(),
    "layers": {"quantizers"},
    "datasets": {"compat"},
    "models": {"layers", "quantizers", "compat"},
    "training": {"layers", "quantizers", "compat", "datasets", *SHARED},
    "posttraining": {"layers", "quantizers", "compat", *SHARED},
    "deploy": {"layers", "quantizers", "compat", *SHARED},
}
ALLOWED["evaluation"] = set().union(*ALLOWED.values()) | {"models", "training", "deploy", "studies"}
STUDIES_USE = {"numpy", "matplotlib", "lbwdet", *sys.stdlib_module_names}
USE_MMDET = {"models", "training", "datasets", "evaluation", "compat"}
LOWERING = PACKAGE / "deploy" / "lower"  # the half of deployment that knows MMDetection
PLAIN = {*BASICS, "__init__"}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it; relative ones made absolute."""
    package = ["lbwdet", *path.relative_to(PACKAGE).with_suffix("").parts][:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*parent, *filter(None, [node.module])])
            if module == "lbwdet":
                yield from (f"lbwdet.{alias.name}" for alias in node.names)
            else:
                yield module


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = {path.stem for path in PACKAGE.glob("*.py")} | {
    path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()
}


def test_every_room_has_a_rule():
    free = {"__init__", "cli", "commands", "testing"}  # the top of the house: may use every room
    assert ROOMS - free <= set(ALLOWED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports(path):
    room = room_of(path)
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "lbwdet" and len(parts) > 1 and parts[1] in ROOMS and room in ALLOWED:
            allowed = ALLOWED[room] | BASICS | {room}
            assert parts[1] in allowed, f"{room} must not import {module}"
        if parts[0] in ("mmdet", "mmcv"):
            assert room in USE_MMDET or LOWERING in path.parents, f"{path} must not import {module}"
        if room == "studies":
            assert parts[0] in STUDIES_USE, f"{room} must not import {module}"
        if room in PLAIN:
            assert parts[0] in {*sys.stdlib_module_names, "lbwdet"}, f"{room} imports {module}"


def test_importing_the_package_is_quick_and_loads_no_framework():
    program = (
        "import sys, time; start = time.perf_counter(); import lbwdet; "
        "print(time.perf_counter() - start); "
        "print([m for m in ('torch', 'mmdet', 'mmcv', 'mmengine', 'numpy') if m in sys.modules])"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    assert {run.stdout.split("\n")[1] for run in runs} == {"[]"}
    assert min(float(run.stdout.split("\n")[0]) for run in runs) < 0.2


RUNTIME_COMMAND = PACKAGE / "deploy" / "runtime" / "__main__.py"  # may read images with Pillow


@pytest.mark.parametrize(
    "path",
    sorted(set((PACKAGE / "deploy" / "runtime").rglob("*.py")) - {RUNTIME_COMMAND}),
    ids=lambda path: path.name,
)
def test_the_runtime_needs_numpy_alone(path):
    inside = {"lbwdet.deploy.runtime", *(f"lbwdet.{name}" for name in BASICS)}
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "lbwdet":
            parents = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
            assert parents & inside, f"{path.name} must not import {module}"
        else:
            assert parts[0] in {*sys.stdlib_module_names, "numpy"}, f"{path.name}: {module}"
