"""The project as a whole: what its pages promise is there, and what must not be is not."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lbwdet import __version__
from lbwdet.cli import COMMANDS, parse
from lbwdet.configs import load_config
from lbwdet.demos.toy_demo import MODELS
from lbwdet.studies.experiment import EXPERIMENTS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lbwdet"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Modules whose tests go by another name: of what they do, or of who uses them.
TESTED_IN = {
    "errors.py": "test_cli.py",
    "testing.py": "training/conftest.py",
    "quantizers/base.py": "quantizers/test_contract.py",
    "training/cpu_distributed.py": "training/test_distributed.py",
    "compat/operators/__init__.py": "compat/test_extension.py",
    "quantizers/__init__.py": "quantizers/test_build_quantizer.py",
    **{  # the export of an operation that has no test of its own
        f"deploy/onnx/{path.name}": "deploy/onnx/test_operation.py"
        for path in (PACKAGE / "deploy" / "runtime" / "operations").glob("[!_]*.py")
        if not (ROOT / "tests" / "deploy" / "onnx" / f"test_{path.name}").is_file()
    },
    "deploy/lower/building.py": "deploy/lower/test_lowering.py",
    "deploy/lower/one_stage.py": "deploy/lower/heads/test_anchors.py",
    "deploy/lower/two_stage.py": "deploy/lower/heads/test_faster_rcnn.py",
    **{
        f"benchmark/{name}.py": "benchmark/test_benchmark.py"
        for name in ("engines", "graphs", "process", "report", "timing", "worker")
    },
    **{
        f"benchmark/{name}.py": "benchmark/test_whole_graphs.py"
        for name in ("int8", "runners", "whole_engine")
    },
    "deploy/runtime/program.py": "deploy/runtime/test_validate.py",
    "limits.py": "test_images.py",
    "serving/refusal.py": "serving/test_service.py",
}
MODULES = [
    name
    for name in (str(path.relative_to(PACKAGE)) for path in sorted(PACKAGE.rglob("*.py")))
    if name in TESTED_IN or Path(name).name != "__init__.py"  # these only list their room's names
]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_its_test(module):
    path = Path(module)
    assert (ROOT / "tests" / TESTED_IN.get(module, path.with_name(f"test_{path.name}"))).is_file()


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command line in a page's ``` blocks."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.M | re.S):
        if language in ("", "sh", "bash", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words and words[0] in ("make", "python", "lbwdet"):
                    yield words


COMMAND_LINES = [(page.name, words) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize(
    "words", [words for _, words in COMMAND_LINES], ids=[f"{p}: {w}" for p, w in COMMAND_LINES]
)
def test_commands_of_the_pages_exist(words):
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert set(words[1:]) <= set(targets)
        return
    if words[0] == "python":
        tool = ROOT / words[1]
        assert tool.is_file()
        if tool.parent.name != "tools":
            return
        words = ["lbwdet", tool.stem.replace("_", "-"), *words[2:]]
    _, options = parse(words[1:])  # ends with a usage error where they do not fit
    if options.command == "experiment":
        assert options.name in EXPERIMENTS
    text = " ".join(words)
    for config in re.findall(r"configs/[\w./-]+?\.py", text):
        assert (ROOT / config).is_file()
    for name, epoch in re.findall(r"work_dirs/demo/(\w+)/epoch_(\d+)\.pth", text):
        config = load_config(ROOT / "configs" / f"lbw_frcnn_toy_{MODELS[name]}.py")
        assert int(epoch) == config.train_cfg.max_epochs


def test_the_pages_were_read():
    assert {page for page, _ in COMMAND_LINES} >= {"README.md", "results.md"}
    tools = {words[1] for _, words in COMMAND_LINES if words[0] == "python"}
    assert {f"tools/{name}.py" for name in ("train", "test", "compare", "image_demo")} <= tools


def test_commands_named_in_passing_exist():
    for page in PAGES:
        for names in re.findall(r"`lbwdet ([a-z][a-z |-]*)`", page.read_text()):
            assert {name.split()[0] for name in names.split("|")} <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_pages_show_files_as_they_are():
    shown = [
        (page, name, text)
        for page in PAGES
        for name, text in re.findall(
            r"<!-- file (\S+) -->\n\n```\w+\n(.*?)```", page.read_text(), re.S
        )
    ]
    assert {page.name for page, _, _ in shown} == {"adding_an_operation.md", "adding_a_detector.md"}
    for page, name, text in shown:
        assert text == (ROOT / name).read_text(), f"{page.name}: {name}"


def test_every_room_is_drawn_and_described():
    page, picture = ((ROOT / "docs" / f"architecture.{end}").read_text() for end in ("md", "svg"))
    rooms = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    assert len(rooms) >= 16
    for room in rooms:
        assert f">{room}<" in picture, room
        assert f"`{room}`" in page or f"`{room}/" in page, room


def test_tools_are_thin():
    tools = sorted((ROOT / "tools").glob("*.py"))
    assert len(tools) >= 5
    for tool in tools:
        text = tool.read_text()
        assert f'main(["{tool.stem.replace("_", "-")}", *sys.argv[1:]])' in text
        assert tool.stem.replace("_", "-") in COMMANDS and len(text.splitlines()) <= 10


def test_pins_satisfy_the_supported_ranges():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 or newer")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [line.split("==") for line in lines if line and not line.startswith("#")]
    pins = {canonicalize_name(name): version for name, version in pinned}
    assert len(pins) == len(pinned)
    extras = project["optional-dependencies"].values()
    for text in [*project["dependencies"], *(text for extra in extras for text in extra)]:
        requirement = Requirement(text)
        if requirement.name == "lbwdet":
            assert requirement.extras <= set(project["optional-dependencies"])
            continue
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, text
    for user in ("Makefile", "docker/Dockerfile"):
        assert "-c constraints.txt" in (ROOT / user).read_text()


def test_papers_are_in_order():
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    log = (ROOT / "CHANGELOG.md").read_text()
    assert f"## {__version__}" in log or "## Unreleased" in log
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_large_files(tracked):
    assert [path for path in tracked if path.stat().st_size > 2**20] == []


def test_nothing_of_one_machine_and_nothing_left_to_do(tracked):
    # Put together here, so that this file does not hold them itself.
    words = ["/wor" + "k/", "/roo" + "t/", "/hom" + "e/", "TO" + "DO", "FIX" + "ME"]
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(word)}" for word in words))
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in tracked
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if pattern.search(line)
    ]
    assert found == []
