"""Where mmcv's compiled operators are absent, and where they are present."""

import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import mmcv.ops
import pytest
import torch

from lbwdet.compat import MissingOperatorError, install_extension
from lbwdet.compat.extension import EXTENSION
from lbwdet.compat.operators import REPLACEMENTS
from lbwdet.errors import LBWError

REPOSITORY = Path(__file__).parents[2]


def run_python(code: str, *path: Path) -> str:
    """Standard output of the code, run in a new interpreter with ``path`` in front."""
    lines = ["import sys", *(f"sys.path.insert(0, {str(p)!r})" for p in (REPOSITORY, *path)), code]
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_mmcv_and_mmdet_import():
    for name in ("mmcv.ops", "mmdet.apis", "mmdet.models"):
        importlib.import_module(name)


def test_import_system_knows_the_extension():
    for _ in range(2):
        spec = importlib.util.find_spec(EXTENSION)
        assert spec is not None
        assert spec.loader is not None
        importlib.import_module(EXTENSION)


def test_installing_twice_adds_one_finder():
    before = list(sys.meta_path)
    install_extension()
    assert sys.meta_path == before


def test_unknown_module_names_are_declined():
    assert importlib.util.find_spec("mmcv._ext2") is None


def test_dunder_names_stay_absent():
    extension = importlib.import_module(EXTENSION)
    assert not hasattr(extension, "__path__")
    assert inspect.unwrap(extension) is extension


def test_missing_operator_is_an_error_at_the_call():
    boxes = torch.zeros(1, 5)
    with pytest.raises(MissingOperatorError, match=r"'box_iou_rotated'.*roi_align_forward") as info:
        mmcv.ops.box_iou_rotated(boxes, boxes)
    assert isinstance(info.value, LBWError)
    assert isinstance(info.value, NotImplementedError)


def test_environment_report_works():
    """It asks the extension for its compiler, which must not end a run."""
    assert mmcv.ops.get_compiler_version() == "n/a"
    assert mmcv.ops.get_compiling_cuda_version() == "n/a"


def test_every_replacement_is_one_that_mmcv_calls():
    sources = "".join(p.read_text() for p in Path(mmcv.ops.__file__).parent.glob("*.py"))
    called = set(re.findall(r"ext_module\.(\w+)", sources))
    assert set(REPLACEMENTS) <= called


def test_compiled_extension_stays_in_use(tmp_path):
    package = tmp_path / "mmcv"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "_ext.py").write_text("nms = 'compiled'\n")
    code = "import lbwdet.compat, mmcv._ext; print(mmcv._ext.nms, hasattr(mmcv._ext, 'other'))"
    assert run_python(code, tmp_path) == "compiled False"


def test_import_is_light():
    heavy = "('torchvision', 'mmcv', 'mmdet', 'cv2', 'lbwdet.compat.operators')"
    code = f"import lbwdet.compat; print([name for name in {heavy} if name in sys.modules])"
    assert run_python(code) == "[]"
