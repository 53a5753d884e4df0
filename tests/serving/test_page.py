from pathlib import Path

import pytest

from lbwdet.errors import ConfigError
from lbwdet.serving import page
from lbwdet.serving.page import UPLOAD, built_page
from tests.serving.conftest import needs_engine, running

FILES = {
    "index.html": "<p>built</p>",
    "offline.js": "// offline",
    "built/files.json": "[]",
    "built/portable.wasm": "wasm",
    "page/page.js": "// page",
    "lbwdet/detector.js": "// detector",
    "build.py": "# not for browsers",
}


@pytest.fixture
def web(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_which_folder(web, monkeypatch):
    assert built_page(web) == web
    monkeypatch.setattr(page, "_CHECKOUT", web)
    assert built_page(None) == web
    (web / "built" / "files.json").unlink()
    assert built_page(None) is None
    with pytest.raises(ConfigError, match="run 'make web' in its repository"):
        built_page(web)


@needs_engine
def test_the_page_that_runs_the_model_itself(web, artifact_path):
    with running(artifact_path, web) as served:
        for address, name in [("/", "index.html"), *((f"/{n}", n) for n in FILES if "/" in n)]:
            assert served.ask(address).body == FILES[name].encode(), address
        wasm = served.ask("/built/portable.wasm")
        assert wasm.headers["Content-Type"] == "application/wasm"
        assert served.ask("/page/page.js").headers["Content-Type"].startswith("text/javascript")
        assert served.ask("/model.lbw").body == artifact_path.read_bytes()
        assert served.ask("/", method="HEAD").status == 200
        for hidden in ("/build.py", "/built/../build.py", "/built/%2e%2e/build.py"):
            assert served.ask(hidden).status == 404, hidden
        assert served.ask("/health").status == 200


@needs_engine
def test_the_small_page_and_no_artifact(served):
    assert served.ask("/").body == UPLOAD.read_bytes()
    assert served.ask("/model.lbw").status == 404


def test_the_small_page_asks_this_server_alone():
    text = Path(UPLOAD).read_text()
    assert "fetch('detect'" in text
    assert "://" not in text and "innerHTML" not in text
