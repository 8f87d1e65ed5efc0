"""What a comparison found, in words: tables, a verdict, and how often such a verdict is wrong."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Literal, NamedTuple

from tabulate import tabulate

from obesity_levels.comparison.outcomes import Period
from obesity_levels.comparison.over_time import Periods
from obesity_levels.comparison.paired import Paired
from obesity_levels.comparison.size import detectable_difference
from obesity_levels.comparison.split import Split
from obesity_levels.params import DetectParams

POWER = 0.8

Verdict = Literal["better", "worse", "too few rows to tell"]


class Report(NamedTuple):
    """The verdict, of the challenger or of a model over time, and the text to print."""

    verdict: Verdict
    text: str


def percent(share: float) -> str:
    """A share as it was given, not rounded: 0.005 is 0.5%."""
    return f"{100 * share:g}%"


def paired_report(overall: Paired, groups: Mapping[str, Paired], alpha: float) -> Report:
    """Of two models on the same rows, and on groups of them."""
    headers = [
        "rows",
        "number",
        "champion",
        "challenger",
        "only challenger",
        "only champion",
        "difference",
        f"{percent(1 - alpha)} interval",
        "p",
    ]
    table = [
        [name, one.rows, *_percents(one.champion, one.challenger), one.won, one.lost, _points(one.difference),
         _interval(one.low, one.high), f"{one.p:.2g}"]
        for name, one in {"all": overall, **groups}.items()
    ]  # fmt: skip
    verdict = _verdict(overall.difference, overall.difference) if overall.p < alpha else "too few rows to tell"
    lines = [_table(table, headers), "", f"verdict: {_said(verdict)}"]
    if verdict == "too few rows to tell":
        if overall.won + overall.lost:
            apart = (overall.won + overall.lost) / overall.rows
            least = detectable_difference(overall.rows, apart, alpha, POWER)
            lines.append(
                f"{overall.rows:,} rows, of which one model alone is right on {apart:.1%}, show a difference of about"
                f" {100 * least:.1f} points in {percent(POWER)} of cases"
            )
        else:
            lines.append("both models are right on the same rows")
    told_apart = {name: one.difference for name, one in groups.items() if one.p < alpha}
    for found, names in {
        "better": [name for name, difference in told_apart.items() if difference > 0],
        "worse": [name for name, difference in told_apart.items() if difference < 0],
    }.items():
        if names:
            lines.append(f"the challenger is {found} on: {', '.join(names)}")
    lines.append("the verdict is by p, which is exact; an interval is approximate, and of its line alone")
    lines.append(
        f"false-alarm rate: at most {percent(alpha)} of the verdict (exact McNemar test), and at most"
        f" {percent(alpha)} of all {len(groups)} groups together (p corrected, Benjamini & Hochberg)"
    )
    return Report(verdict, "\n".join(lines))


def split_report(split: Split, alpha: float, planned: int, *, once: bool) -> Report:
    """Of two arms; `once`: judged by the interval of one look."""
    headers = ["", "model", "units", "truth known", "right", "accuracy"]
    table = [
        [name, arm.version, arm.units, arm.known, arm.right, f"{arm.accuracy:.2%}"]
        for name, arm in (("champion", split.champion), ("challenger", split.challenger))
    ]
    used = split.once if once else split.always
    verdict = _verdict(*used)
    lines = [_table(table, headers), ""]
    if split.repeated:
        lines.append(f"{split.repeated:,} outcomes are not counted: their unit has an earlier one")
    looks = f"at most {percent(alpha)}, however often you look"
    lines += [
        f"difference: {_points(split.difference)}; {percent(1 - alpha)} intervals:",
        f"  {_interval(*split.once)} for one look (Newcombe)",
        f"  {_interval(*split.always)} for any number of looks (closest at {planned:,} units)",
        f"verdict: {_said(verdict)}",
        f"false-alarm rate: {f'{percent(alpha)}, if this is the only look' if once else looks}",
    ]
    return Report(verdict, "\n".join(lines))


def periods_report(
    periods: Periods, version: str, accuracy: float, interval: Mapping[str, float], period: Period, params: DetectParams
) -> Report:
    """Of one model over time; `accuracy` and its `interval` (low, high) are those of its card."""
    headers = [period, "rows", "accuracy", "95 % interval", "p", ""]
    notes = {(True, True): "dropped", (False, True): "", (False, False): "too few rows"}
    table = [
        [str(begins), one.rows, f"{one.accuracy:.1%}", _interval(one.low, one.high, of_shares=True), f"{one.p:.2g}",
         notes[bool(one.alarm), bool(one.enough)]]
        for begins, one in zip(periods.table.index, periods.table.itertuples(), strict=True)
    ]  # fmt: skip
    if periods.table["alarm"].any():
        verdict: Verdict = "worse"
        said = f"the accuracy has dropped in {periods.table['alarm'].sum()} of {len(table)} {period}s"
    elif periods.table["enough"].any():
        verdict, said = "better", "the accuracy holds"
    else:
        verdict, said = "too few rows to tell", f"too few rows to tell: no {period} has {params.min_rows}"
    at_most = max(1, ceil(1_000 * periods.false_alarm_rate)) / 10
    lines = [
        f"model {version}; its card: {accuracy:.1%} ({_interval(interval['low'], interval['high'], of_shares=True)})",
        "",
        _table(table, headers),
        "",
        f"verdict: {said}",
        f"a {period} has dropped if it lost at least {percent(params.accuracy_drop)} of the card's accuracy, with p"
        f" below {params.alpha:g} (corrected over the {period}s)",
        f"false-alarm rate: at most {at_most:g}% for all {period}s together, if the accuracy is {accuracy:.1%}",
    ]
    return Report(verdict, "\n".join(lines))


def _verdict(low: float, high: float) -> Verdict:
    return "better" if low > 0 else "worse" if high < 0 else "too few rows to tell"


def _said(verdict: Verdict) -> str:
    return verdict if verdict == "too few rows to tell" else f"the challenger is {verdict}"


def _table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    return tabulate(rows, headers, "github", intfmt=",", disable_numparse=True)


def _percents(*shares: float) -> list[str]:
    return [f"{share:.1%}" for share in shares]


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f} points"


def _interval(low: float, high: float, *, of_shares: bool = False) -> str:
    return f"{low:.1%} to {high:.1%}" if of_shares else f"{100 * low:+.2f} to {100 * high:+.2f}"
