import shutil

import pytest

from lbwdet.errors import LBWError
from lbwdet.measuring import artifact_candidate, candidates
from lbwdet.measuring.code_digest import PACKAGE, SOURCES, code_digest, source_files

LISTS = [candidates.DECISIVE_CODE, artifact_candidate.DECISIVE_CODE]


@pytest.fixture
def package(tmp_path):
    """A copy of the package's sources."""

    def ignore(folder, names):
        return [name for name in names if "." in name and not name.endswith(tuple(SOURCES))]

    return shutil.copytree(PACKAGE, tmp_path / "lbwdet", ignore=ignore)


@pytest.mark.parametrize("rooms", LISTS, ids=["torch", "artifact"])
def test_an_edit_in_each_decisive_room_changes_the_digest(rooms, package):
    seen = {code_digest(rooms, package)}
    assert seen == {code_digest(rooms)}
    for number, room in enumerate(rooms, start=1):
        with source_files(package / room)[-1].open("a") as file:
            file.write("# edited\n")
        seen.add(code_digest(rooms, package))
        assert len(seen) == number + 1, room


def test_names_of_files_count(package):
    before = code_digest(["layers"], package)
    source_files(package / "layers")[-1].rename(package / "layers" / "zzz.py")
    assert code_digest(["layers"], package) != before


def test_a_room_without_code_is_an_error():
    with pytest.raises(LBWError, match=r"layers/gone\.py: no source file there"):
        code_digest(["layers", "layers/gone.py"])
