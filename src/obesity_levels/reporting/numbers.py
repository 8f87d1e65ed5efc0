"""Values of metrics/ as texts, each with its difference from the same value of another run."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from obesity_levels.io import number


class Cell(NamedTuple):
    """A value of metrics/: its keys joined by dots, itself, its text, and its difference from the other run."""

    key: str
    value: Any
    text: str
    change: str = ""

    @property
    def is_number(self) -> bool:
        """Whether it is one number, and not a text, an interval or a mean with its deviation."""
        return isinstance(self.value, int | float) and not isinstance(self.value, bool)


class Numbers:
    """The content of metrics/ of a run, and of the one that it is compared with. A value is found by its keys."""

    def __init__(self, now: dict[str, Any], before: dict[str, Any] | None = None) -> None:
        self.now, self.before = now, before

    def keys(self, *path: str) -> list[str]:
        """The keys below `path`, in their order: those of this run, then those that only the other one has."""
        found = [_find(metrics, path) for metrics in (self.now, self.before)]
        return list(dict.fromkeys(key for one in found if isinstance(one, dict) for key in one))

    def cell(self, *path: str) -> Cell:
        """The value at `path`. Where there is none, its text is empty."""
        value = _find(self.now, path)
        change = "" if self.before is None else difference(value, _find(self.before, path))
        return Cell(".".join(path), value, as_text(value), change)


def as_text(value: Any) -> str:
    """A value for people: fractions with 3 digits, {"mean", "std"} as ±, an interval as "low to high"."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return number(value)
        case {"mean": mean, "std": spread}:
            return "" if mean is None else f"{number(mean)} ± {number(spread)}"
        case {"low": low, "high": high} | [float(low), float(high)]:
            return f"{number(low)} to {number(high)}"
        case list():
            return ", ".join(map(as_text, value))
        case _:
            return str(value)


def difference(now: Any, before: Any) -> str:
    """The difference of two values: a number with its sign, or what it was before. Nothing where they are equal."""
    if now == before:
        return ""
    if before is None:
        return "new"
    means = [one.get("mean") if isinstance(one, dict) else None for one in (now, before)]
    if None not in means and means[0] != means[1]:
        now, before = means
    if not (isinstance(now, int | float) and isinstance(before, int | float)) or isinstance(now, bool):
        return f"was {as_text(before)}"
    if isinstance(now, int) and isinstance(before, int):
        return f"{now - before:+d}"
    # the metrics have 6 digits: a difference that 3 do not show is not said to be none
    return f"{now - before:+.3f}" if abs(now - before) >= 0.0005 else f"{now - before:+.6f}"


def _find(metrics: Any, path: Sequence[str]) -> Any:
    for key in path:
        metrics = metrics.get(key) if isinstance(metrics, dict) else None
    return metrics
