"""The results of a walk through the zoo in words and tables."""

import json
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lbwdet.errors import DataError
from lbwdet.files import write_text
from lbwdet.studies.zoo.results import DEPLOYED
from lbwdet.tables import table

OUTCOMES = {
    "runs": "every step runs in float and quantized",
    "runs in part": "every step that runs in float runs quantized; a step fails already in float",
    "fails in float": "no step runs in float on this machine",
    "fails quantized": "a step runs in float, but not quantized",
    "not tried": "the walk has not come to it",
}
DEPLOYMENTS = {
    "deployed": "the native engine gives what the reference does, near the quantized detector",
    "lowered": "can be lowered; not run yet",
    "deployed without masks": "as deployed, but for the masks that the detector gives, too",
    "not deployed": "refused in one sentence, below",
}
_EXAMPLES = 3


def write_page(results: str | Path, page: str | Path) -> None:
    """Writes the page that ``results``, the JSON file of a walk, gives.

    Raises:
        DataError: ``results`` is not there or no such file.
    """
    try:
        content = json.loads(Path(results).read_text(encoding="utf-8"))
        text = page_text(content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{results}: no results of `lbwdet zoo` to write a page from") from error
    write_text(page, text)


def summary(content: Mapping[str, Any]) -> str:
    """How many configs fared how, in a line each."""
    counts = Counter(map(_outcome, _detectors(content)))
    lines = [
        f"{counts[name]:4} {name}: {meaning}" for name, meaning in OUTCOMES.items() if counts[name]
    ]
    return "\n".join(lines)


def page_text(content: Mapping[str, Any]) -> str:
    """The page as Markdown: totals, a table by family, and why what did not run did not."""
    entries = _detectors(content)
    families: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        families.setdefault(entry["family"], []).append(entry)
    rows = [*sorted(families.items()), ("**all**", entries)]
    weight, versions = content["weight"], content["versions"]
    parts = [
        "# MMDetection's configs, quantized",
        f"Written by `lbwdet zoo --page` from {_plural(len(entries), 'config')}: all that "
        "MMDetection ships outside `_base_` folders, but for those that have no model (parts of "
        "configs, test-time augmentations). `make test-zoo` tries one config of each family again.",
        content["about"],
        f"Weights: {weight['bit_width']} bits, {weight['code']} code, all layers. "
        f"MMDetection {versions['mmdet']}, torch {versions['torch']}, {content['cpu']}. "
        f"Commit: {content['commit']}.",
        "\n".join(f"- **{name}**: {meaning}." for name, meaning in OUTCOMES.items()),
        table(rows, _COLUMNS).rstrip(),
        _deployment(content, entries),
        _reasons("fails quantized", "Fails quantized", entries),
        _reasons("fails in float", "Fails in float", entries),
        _reasons("runs in part", "Runs in part: what fails in float", entries),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _detectors(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [entry for entry in content["configs"] if entry.get("outcome") != "no model"]


def _outcome(entry: Mapping[str, Any]) -> str:
    return str(entry.get("outcome", "not tried"))


def deployment_summary(content: Mapping[str, Any]) -> str:
    """How many configs and models are deployed, and why the others are not, in a line each."""
    tried = [entry for entry in _detectors(content) if DEPLOYED in entry]
    counts = Counter(map(_deployed, tried))
    lines = [
        f"{counts[name]:4} {name}: {meaning}"
        for name, meaning in DEPLOYMENTS.items()
        if counts[name]
    ]
    for why, group in _by_reason(tried, _refusal):
        lines.append(f"{len(group):4} ({_plural(_models(group), 'model')}) {why}")
    return "\n".join(lines)


def _deployment(content: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> str:
    """Which are deployed, by family, and what keeps the others; '' before a walk."""
    tried = [entry for entry in entries if DEPLOYED in entry]
    if not tried:
        return ""
    families: dict[str, list[Mapping[str, Any]]] = {}
    for entry in tried:
        families.setdefault(entry["family"], []).append(entry)
    made = content["deployment"]
    runs = [entry for entry in entries if _outcome(entry) in ("runs", "runs in part")]
    reasons = [
        f"- {_plural(len(group), 'config')}, {_plural(_models(group), 'model')}: `{why}` "
        f"({_examples(group)})"
        for why, group in _by_reason(tried, _refusal)
    ]
    parts = [
        "## Deployed",
        made["about"],
        f"Tried so far: {len(tried)} of the {_plural(len(runs), 'config')} whose models run.",
        f"MMDetection {made['versions']['mmdet']}, torch {made['versions']['torch']}, "
        f"{made['cpu']}. Commit: {made['commit']}.",
        "\n".join(f"- **{name}**: {meaning}." for name, meaning in DEPLOYMENTS.items()),
        table([*sorted(families.items()), ("**all**", tried)], _DEPLOYED_COLUMNS).rstrip(),
    ]
    if reasons:
        parts += ["### Not deployed, by what is missing", "\n".join(reasons)]
    return "\n\n".join(parts)


def _deployed(entry: Mapping[str, Any]) -> str:
    found = entry[DEPLOYED]
    if not found["boxes"]:
        return "not deployed"
    if found["masks"] is False:
        return "deployed without masks"
    return "deployed" if found["step"] == "run" else "lowered"


def _by_reason(
    entries: Sequence[Mapping[str, Any]], reason: Callable[[Mapping[str, Any]], str]
) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Those with a reason, the most frequent first."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        if why := reason(entry):
            groups.setdefault(why, []).append(entry)
    return sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))


def _refusal(entry: Mapping[str, Any]) -> str:
    return missing(entry[DEPLOYED]["reason"] or "")


def missing(why: str) -> str:
    """The part of a refusal that is the same for other modules and models.

    >>> missing("neck.a.conv cannot be lowered: there is no rule for erf; there are rules for add")
    'there is no rule for erf'
    """
    said = " ".join(why.split()).partition("; ")[0]
    _, found, call = said.partition(" cannot be lowered: ")
    return call if found else said


def _models(entries: Sequence[Mapping[str, Any]]) -> int:
    return len({entry[DEPLOYED]["model"] for entry in entries})


def _median(key: str) -> Callable[[Any], object]:
    def of(row: Any) -> object:
        values = (entry[DEPLOYED].get(key) for entry in row[1])
        found = [value for value in values if value is not None]
        return f"{statistics.median(found):.3g}" if found else ""

    return of


def _reasons(kind: str, title: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """A list of the reasons, each with the number of configs and some of them; '' if none."""
    failed = [entry for entry in entries if _outcome(entry) == kind]
    lines = [
        f"- {_plural(len(group), 'config')}: `{why}` ({_examples(group)})"
        for why, group in _by_reason(failed, lambda entry: " ".join(entry["reason"].split()))
    ]
    return f"## {title}\n\n" + "\n".join(lines) if lines else ""


def _examples(entries: Sequence[Mapping[str, Any]]) -> str:
    names = [entry["config"] for entry in entries]
    return ", ".join(names[:_EXAMPLES]) + (", ..." if len(names) > _EXAMPLES else "")


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _count(kind_of: Callable[[Any], str], kind: str) -> Callable[[Any], object]:
    return lambda row: sum(kind_of(entry) == kind for entry in row[1]) or ""


_COLUMNS: dict[str, Callable[[Any], object]] = {
    "family": lambda row: row[0],
    "configs": lambda row: len(row[1]),
    "models": lambda row: len({entry.get("model", entry["config"]) for entry in row[1]}),
    **{name: _count(_outcome, name) for name in OUTCOMES},
}
_DEPLOYED_COLUMNS: dict[str, Callable[[Any], object]] = {
    "family": lambda row: row[0],
    "configs": lambda row: len(row[1]),
    "models": lambda row: _models(row[1]),
    **{name: _count(_deployed, name) for name in DEPLOYMENTS},
    "in reals": _median("real_error"),
    "map error": _median("map_error"),
    "boxes matched": _median("matched"),
    "scores apart": _median("score_difference"),
}
