"""Who may import whom, read from the source; and `import lbwdet` loads nothing else."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lbwdet

PACKAGE = Path(lbwdet.__file__).parent
# Plain Python, for everyone.
BASICS = {"download", "errors", "files", "limits", "progress", "tables", "terminal"}
IMAGES = {"images", "lettering", "videos"}  # numpy and Pillow or OpenCV: for runtimes, too
READERS = {"configs", "checkpoint_file", "checkpoints", *IMAGES}  # of what runs begin with
TENSORS = {"quantizers", "layers"}
# For what looks at finished detectors: everything below it, but for how they are deployed.
BELOW = {*TENSORS, *READERS, "compat", "datasets", "models", "training", "measuring", "figures"}
ALLOWED: dict[str, set[str]] = {
    **{basic: set() for basic in BASICS},
    **{reader: set() for reader in sorted(READERS)},
    "checkpoints": {"checkpoint_file"},
    "label_places": set(),
    "figures": {"label_places"},
    "testing": set(),
    "compat": set(),
    "quantizers": set(),
    "layers": {"quantizers"},
    "datasets": {"compat", "configs", "images", "checkpoint_file"},
    # Side by side: none of these imports another.
    "models": {*TENSORS, "compat", "checkpoint_file", "checkpoints"},
    "training": {*TENSORS, *READERS, "compat", "datasets"},
    "posttraining": {*TENSORS, *READERS, "compat"},
    "deploy": {*TENSORS, *READERS, "compat"},
    "bulk": {"deploy", *IMAGES},
    # A deployed detector is measured like any other.
    "measuring": {*TENSORS, *READERS, "compat", "datasets", "training", "deploy"},
    # Side by side, too.
    "comparison": BELOW,
    "bit_plan": {*BELOW, "posttraining"},
    "benchmark": {*BELOW, "deploy"},  # it takes both kinds of detectors apart
    "importing": {*BELOW, "posttraining"},
    "studies": BELOW,
    "demos": BELOW,
    "serving": {"images", "deploy"},  # where no training framework is
    "export": {*BELOW, "deploy"},  # from a trained detector to a deployed one
    # A command knows the rooms it calls; the command line knows only commands.
    "commands": {
        *("comparison", "bit_plan", "benchmark", "studies", "demos", "export"),
        *(
            "datasets",
            "training",
            "posttraining",
            "deploy",
            "measuring",
            "importing",
            "serving",
            "bulk",
        ),
    },
    "cli": {"commands"},
}
# A file that may import more than its room, and why.
EXCEPTIONS: dict[str, set[str]] = {
    # It fills the pages with the tables of these rooms.
    "studies/results_page.py": {"comparison", "benchmark"},
    # A published detector's low-bit variants start from what post-training gives.
    "studies/experiment.py": {"bit_plan", "posttraining"},
    # It takes detectors all the way: trained or projected, exported, measured.
    "studies/trained_zoo.py": {"bit_plan", "export"},
    # The zoo deploys what it has trained a step.
    "studies/zoo/deployment.py": {"deploy"},
    # It answers for the operation that chooses queries.
    "studies/zoo/selection.py": {"deploy"},
    # Of a pipeline it keeps what deployment keeps.
    "studies/zoo/shipped.py": {"deploy"},
    # The toy demo ends in a comparison of what it trained and deployed.
    "demos/toy_demo.py": {"comparison", "export"},
}
THEORY = {"studies/ste.py", "studies/ste_plots.py", "studies/two_layer.py"}  # numpy, no detector
THEORY_USES = {"numpy", "matplotlib", "lbwdet", *sys.stdlib_module_names}
USE_MMDET = {"models", "training", "datasets", "compat"}
USE_MMDET |= {"measuring", "bit_plan", "studies", "export", "importing"}
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
            names = [f"{module}.{alias.name}" for alias in node.names]
            inside = [name for name in names if name in MODULES or module == "lbwdet"]
            yield from inside
            if len(inside) < len(names):
                yield module


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(["lbwdet", *parts]).removesuffix(".__init__")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {module_of(path): path for path in FILES}
ROOMS = {room_of(path) for path in FILES} - {"__init__"}


def test_every_room_has_a_rule():
    assert set(ALLOWED) == ROOMS
    assert set(EXCEPTIONS) | THEORY <= {path.relative_to(PACKAGE).as_posix() for path in FILES}


def test_no_rule_allows_everything():
    order = list(ALLOWED)
    for room, allowed in ALLOWED.items():
        assert allowed <= set(order[: order.index(room)]), f"{room} may import what is above it"


def test_no_modules_import_one_another_in_a_circle():
    graph = {name: {*imports(path)} & set(MODULES) - {name} for name, path in MODULES.items()}
    circles = []
    while graph:
        leaves = {name for name, below in graph.items() if not below & set(graph)}
        if not leaves:
            # What is left stands in circles, or imports what does.
            needed = {name for name in graph if any(name in below for below in graph.values())}
            if needed == set(graph):
                circles.append(needed)
                break
            leaves = set(graph) - needed
        graph = {name: below for name, below in graph.items() if name not in leaves}
    assert circles == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports(path):
    room = room_of(path)
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "lbwdet" and len(parts) > 1 and parts[1] in ROOMS and room in ALLOWED:
            name = path.relative_to(PACKAGE).as_posix()
            allowed = ALLOWED[room] | EXCEPTIONS.get(name, set()) | BASICS | {room}
            assert parts[1] in allowed, f"{room} must not import {module}"
        if parts[0] in ("mmdet", "mmcv"):
            assert room in USE_MMDET or LOWERING in path.parents, f"{path} must not import {module}"
        if path.relative_to(PACKAGE).as_posix() in THEORY:
            assert parts[0] in THEORY_USES, f"{path.name} must not import {module}"
        if room in PLAIN:
            assert parts[0] in {*sys.stdlib_module_names, "lbwdet"}, f"{room} imports {module}"


def of_mmdet(path: Path) -> bool:
    """Whether a file imports more of mmdet or mmcv than the version."""
    return any(module.startswith(("mmdet.", "mmcv.")) for module in imports(path))


@pytest.mark.parametrize("path", [*filter(of_mmdet, FILES)], ids=module_of)
def test_missing_operators_are_in_place_before_mmdet_is_imported(path):
    packages = [folder / "__init__.py" for folder in path.parents if folder.is_relative_to(PACKAGE)]
    assert room_of(path) == "compat" or any(
        "lbwdet.compat" in imports(package) for package in packages
    ), "mmdet imports mmcv.ops: import lbwdet.compat in the room's __init__.py"


def test_importing_the_package_loads_itself_alone():
    program = (
        "import sys; before = set(sys.modules); import lbwdet; print(set(sys.modules) - before)"
    )
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == "{'lbwdet'}\n"


BULK = sorted((PACKAGE / "bulk").rglob("*.py"))


@pytest.mark.parametrize("path", BULK, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_bulk_worker_needs_no_training_framework(path):
    inside = (
        *(f"lbwdet.{name}" for name in ("bulk", "deploy.runtime", "__version__", *IMAGES, *BASICS)),
    )
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "lbwdet" and module != "lbwdet":
            assert module.startswith(inside), f"{path.name} must not import {module}"
        else:
            known = {*sys.stdlib_module_names, "lbwdet", "numpy", "pyarrow", "ray"}
            assert parts[0] in known, f"{path.name}: {module}"


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
