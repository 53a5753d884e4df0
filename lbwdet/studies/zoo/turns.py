"""The distinct models of a walk, one after the other, families in turn."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from lbwdet.progress import Progress

Group = Sequence[str]


def groups_of(digests: Mapping[str, str]) -> list[list[str]]:
    """The configs of each model, for the model of each config."""
    groups: dict[str, list[str]] = {}
    for name, digest in digests.items():
        groups.setdefault(digest, []).append(name)
    return list(groups.values())


def in_turns(
    groups: Iterable[Group],
    before: Iterable[Group] = (),
    cost: Callable[[Group], float] = lambda group: 0.0,
) -> list[Group]:
    """First the cheapest one of each family, then a second one: cut short, all are seen.

    Args:
        groups: the first config of each says its family.
        before: are done already, so that families with fewer of them come first.
        cost: what a group is about to take.
    """
    seen = Counter(map(_family, before))
    turns = []
    for group in sorted(groups, key=cost):
        turns.append((seen[_family(group)], group))
        seen[_family(group)] += 1
    return [group for _, group in sorted(turns, key=lambda turn: turn[0])]


def _family(group: Group) -> str:
    return group[0].split("/")[0]


def go_through(
    groups: Iterable[Group],
    trial: Callable[[Group], Any],
    keep: Callable[[Group, Any], None],
    jobs: int,
) -> None:
    """Calls ``trial`` for each group and ``keep`` with its result, and shows the time left.

    Args:
        groups: in the order in which they are begun.
        trial: called in ``jobs`` threads; it waits for a process.
        keep: called in this thread, as soon as a trial is done.
        jobs: trials at a time.
    """
    groups = list(groups)
    with (
        Progress("zoo", len(groups)) as progress,
        ThreadPoolExecutor(max_workers=jobs) as pool,
    ):
        trials = {pool.submit(trial, group): group for group in groups}
        try:
            for done in as_completed(trials):
                keep(trials[done], done.result())
                progress.step()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
