"""The report as a file, and as a page in a browser where there is one."""

import html.parser
import json
import re
import shutil
import subprocess

import pytest

from tests.tiny_detectors import CLASSES

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


class Page(html.parser.HTMLParser):
    """Elements with their attributes, and the text of the element with id 'data'."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.data, self._inside = [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("id") == "data"

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.data += data


@pytest.fixture(scope="module")
def text(compared):
    return (compared.out / "report" / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def gallery(text):
    return json.loads(Page(text).data)


def test_needs_nothing_beside_it(text):
    assert not re.search(r"https?://|file:|@import|url\(", text)
    for tag, attributes in Page(text).elements:
        for name in ("src", "srcset", "href", "data", "action", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/", "#")), (tag, name)


def test_names_cannot_become_markup(text):
    tags = [tag for tag, _ in Page(text).elements]
    assert tags.count("script") == 2
    assert not any("onerror" in attributes for _, attributes in Page(text).elements)
    assert "<img src=x" not in text and 'float "<i>' not in text
    assert json.loads(Page(text).data)["classes"] == list(CLASSES)


def test_one_picture_per_image(text, gallery):
    assert text.count("data:image/jpeg") == len(gallery["images"]) == 3
    assert [model["color"] for model in gallery["models"]] == ["#0072B2", "#D55E00"]


def test_boxes_carry_their_fate(gallery):
    for image in gallery["images"]:
        assert (image["width"], image["height"]) == (120, 80)
        assert len(image["truth"]) == 2
        for detections in image["detections"]:
            scores = [box[5] for box in detections]
            assert scores == sorted(scores, reverse=True)
            for box in detections:
                assert len(box) == 8 and box[6] in ("matched", "false", "ignored")
                assert (box[7] >= 0) == (box[6] == "matched")


def test_most_disputed_images_come_first(gallery):
    disputed = [image["disagreement"] for image in gallery["images"]]
    assert disputed == sorted(disputed, reverse=True)


def rendered(page, tmp_path):
    """The page's DOM after its script ran, from headless Chromium."""
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--no-first-run",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=5000",
        "--dump-dom",
    ]
    done = subprocess.run(
        [CHROMIUM, *flags, page.as_uri()], capture_output=True, text=True, timeout=120
    )
    return done.stdout


def captions(dom):
    pattern = r"(\d+)\u00a0matched · (\d+)\u00a0false · (\d+)\u00a0missed"
    text = dom.replace("&nbsp;", "\u00a0")
    return [tuple(map(int, numbers)) for numbers in re.findall(pattern, text)]


def expected_captions(gallery, threshold, label=None):
    """What the captions under the panels should say, worked out from the data."""
    expected = []
    for image in gallery["images"]:
        wanted = {
            index
            for index, box in enumerate(image["truth"])
            if not box[5] and label in (None, box[4])
        }
        for detections in image["detections"]:
            shown = [box for box in detections if box[5] >= threshold and label in (None, box[4])]
            count = [sum(box[6] == kind for box in shown) for kind in ("matched", "false")]
            expected.append((*count, len(wanted - {box[7] for box in shown})))
    return expected


@needs_chromium
def test_page_draws_boxes_and_captions(compared, gallery, tmp_path):
    dom = rendered(compared.out / "report" / "index.html", tmp_path)
    assert captions(dom) == expected_captions(gallery, gallery["start_score"])
    assert dom.count('class="truth"') == 2 + 5  # the legend's, and the objects that count


@needs_chromium
def test_controls_change_what_is_shown(compared, gallery, text, tmp_path):
    """A script appended to the page moves the slider, filters, sorts and presses a button."""
    act = """<script>
    const set = (id, value, type) => {
      const control = document.getElementById(id);
      control.value = value;
      control.dispatchEvent(new Event(type));
    };
    set("score", "0.2", "input");
    set("class", "1", "change");
    set("sort", "name", "change");
    document.querySelector(".sample button").click();
    </script>"""
    page = tmp_path / "acted.html"
    page.write_text(text.replace("</body>", act + "</body>"), encoding="utf-8")
    dom = rendered(page, tmp_path)
    by_name = dict(gallery, images=sorted(gallery["images"], key=lambda image: image["name"]))
    assert captions(dom) == expected_captions(by_name, 0.2, label=1)
    assert ">0.20</output>" in dom
    assert re.findall(r"<b>(\d{6})</b>", dom) == ["000001", "000002", "000003"]
    assert 'class="sample card large"' in dom and 'aria-pressed="true"' in dom


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return shared / (area - shared)


def expected_unlike(gallery, threshold):
    """How many boxes of the second model's panels differ from the first's, from the data."""
    expected = []
    for image in gallery["images"]:
        first, second = (
            [box for box in boxes if box[5] >= threshold] for boxes in image["detections"]
        )
        found = [{box[7] for box in boxes if box[7] >= 0} for boxes in (first, second)]
        false = [[box for box in boxes if box[6] == "false"] for boxes in (first, second)]
        lonely = sum(
            not any(box[4] == other[4] and overlap(box, other) >= 0.5 for other in false[0])
            for box in false[1]
        )
        expected.append(len(found[0] ^ found[1]) + lonely)
    return expected


@needs_chromium
def test_differences_from_the_first_model_are_marked_and_filtered(gallery, text, tmp_path):
    act = """<script>
    score.value = "0.05";
    score.dispatchEvent(new Event("input"));
    differences.click();
    </script>"""
    page = tmp_path / "differences.html"
    page.write_text(text.replace("</body>", act + "</body>"), encoding="utf-8")
    dom = rendered(page, tmp_path)
    unlike = expected_unlike(gallery, 0.05)
    assert sum(unlike) > 0  # or the test shows nothing
    shown = re.findall(r"\d+\u00a0missed(?: · (\d+)\u00a0unlike)?", dom.replace("&nbsp;", "\u00a0"))
    panels = [int(count or 0) for count in shown]
    assert panels[1::2] == unlike and panels[0::2] == [0] * len(unlike)
    hidden = len(re.findall(r'<article class="sample card" hidden', dom))
    assert hidden == unlike.count(0)


@needs_chromium
def test_a_click_on_a_heading_sorts_the_table(text, tmp_path):
    act = """<script>
    const heading = [...document.querySelectorAll("table.sortable th button")]
      .find((button) => button.textContent === "Bits");
    heading.click();
    </script>"""
    page = tmp_path / "sorted.html"
    page.write_text(text.replace("</body>", act + "</body>"), encoding="utf-8")
    dom = rendered(page, tmp_path)
    assert re.findall(r"<td>(6|32)</td>", dom)[:2] == ["6", "32"]  # the layers come later
    assert len(re.findall(r'<th [^>]*aria-sort="ascending"', dom)) == 1
