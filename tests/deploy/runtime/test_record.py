"""Quickly made dataclasses do what those of the standard library do."""

import copy
import dataclasses
import pickle

import pytest

from lbwdet.deploy.runtime import record

KINDS = {"standard": dataclasses.dataclass, "quick": record.dataclass}


def classes(dataclass):
    @dataclass(frozen=True)
    class Base:
        """Its docstring."""

        first: int
        second: tuple[int, ...] = (1, 2)

    @dataclass(frozen=True)
    class Derived(Base):
        third: dict = dataclasses.field(default_factory=dict)
        seen: list = dataclasses.field(default_factory=list)

        def __post_init__(self):
            self.seen.append(self.first)

        def __repr__(self):
            return "its own"

    return Base, Derived


@record.dataclass(frozen=True)
class Pickled:
    value: int


@pytest.fixture(params=KINDS)
def dataclass(request):
    return KINDS[request.param]


@pytest.fixture
def made(dataclass):
    return classes(dataclass)


def test_fields_by_place_by_name_and_by_default(made):
    base, derived = made
    assert base(1, (3,)) == base(second=(3,), first=1) == base(1, second=(3,))
    assert base(1) == base(1, (1, 2)) != base(2)
    one, other = derived(5), derived(5)
    assert one == other and one.third is not other.third and one.seen == [5]
    assert [field.name for field in dataclasses.fields(derived)] == [
        *("first", "second", "third", "seen")
    ]


@pytest.mark.parametrize(
    ("given", "named"),
    [((), {}), ((1, (2,), 3), {}), ((1,), dict(first=1)), ((1,), dict(fourth=1))],
)
def test_other_arguments_are_refused(made, given, named):
    with pytest.raises(TypeError, match=r"Base"):
        made[0](*given, **named)


def test_nobody_changes_one(made):
    one = made[0](1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.first = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del one.first


def test_text_hash_and_equality(made):
    base, derived = made
    assert repr(base(1)).endswith("Base(first=1, second=(1, 2))")
    assert repr(derived(1)) == "its own"
    assert hash(base(1)) == hash(base(1)) and len({base(1), base(1), base(2)}) == 2
    assert base(1) != derived(1) and base(1) != 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(derived(1))


def test_replaced_and_copied(made):
    base, _ = made
    assert dataclasses.replace(base(1), first=2) == base(2)
    assert copy.deepcopy(base(1)) == base(1)
    assert dataclasses.asdict(base(1)) == dict(first=1, second=(1, 2))


def test_pickled():
    assert pickle.loads(pickle.dumps(Pickled(3))) == Pickled(3)


@pytest.mark.parametrize(("above", "below"), [tuple(KINDS), tuple(KINDS)[::-1]])
def test_each_kind_inherits_from_the_other(above, below):
    base, _ = classes(KINDS[above])

    @KINDS[below](frozen=True)
    class Below(base):
        more: int = 0

    assert Below(1, more=3) == dataclasses.replace(Below(2, more=3), first=1)
    assert repr(Below(1)).endswith("Below(first=1, second=(1, 2), more=0)")


def test_only_frozen_ones():
    with pytest.raises(TypeError, match="frozen"):
        record.dataclass(frozen=False)
