"""The gate: whether a model meets the conditions of params.yaml for becoming champion."""

from typing import Any

import msgspec
from scipy import stats

from obesity_levels.params import GateParams


class Condition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A limit, the measured value (None: not measured, and the condition does not hold), and whether it holds."""

    measured: float | None
    holds: bool
    at_least: float | None = None
    at_most: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def requirement(self) -> str:
        """The limit in words. It says so where the condition holds only because of the interval."""
        if self.at_most is None:
            short = self.holds and self.measured is not None and self.measured < (self.at_least or 0)
            return f"at least {self.at_least:g}" + (", and chance explains what is missing" if short else "")
        tolerated = self.holds and self.measured is not None and self.measured > self.at_most
        return f"at most {self.at_most:g}" + (", which its 95 % interval reaches" if tolerated else "")

    def __str__(self) -> str:
        if self.measured is None:
            return f"it was not measured; {self.requirement} is required"
        limit = self.at_least if self.at_most is None else self.at_most
        missed = "" if self.holds or limit is None else f", missed by {abs(self.measured - limit):.4g}"
        return f"{self.measured:.4g}, {self.requirement} is required{missed}"


class Gate(msgspec.Struct, frozen=True):
    """The model, whether every condition holds, and each condition."""

    model_version: str
    passed: bool
    conditions: dict[str, Condition]


def check_gate(evaluation: dict[str, Any], drift: dict[str, Any], params: GateParams) -> Gate:
    """Compare the contents of metrics/evaluate.json (its validation rows) and metrics/drift.json with `params`."""
    validation = evaluation["validation"]
    recalls = [level["recall"] for level in validation["per_level"].values() if level["recall"] is not None]
    found = validation | {"worst_level_recall": min(recalls)}
    conditions = {
        name: Condition(found[name], found[name] >= limit, at_least=limit)
        for name, limit in msgspec.structs.asdict(params.at_least).items()
    }
    error, limit = validation["expected_calibration_error"], params.at_most.expected_calibration_error
    conditions["expected_calibration_error"] = Condition(error, error <= limit, at_most=limit)
    conditions |= _coverages(validation["prediction_sets"], params.coverage_significance)
    conditions["drift_false_alarm_rate"] = _false_alarms(drift, params.at_most.drift_false_alarm_rate)
    passed = all(condition.holds for condition in conditions.values())
    return Gate(evaluation["model_version"], passed, conditions)


def _coverages(found: dict[str, Any], significance: float) -> dict[str, Condition]:
    """The coverage of all rows and of each sex. It holds unless chance explains a shortfall in too few cases."""
    conditions = {}
    for promised, kinds in found.items():
        for name, one in {"all": kinds["all"]["all"], **kinds["sex"]}.items():
            if one["support"] and name != "missing":
                covered = round(one["coverage"] * one["support"])
                test = stats.binomtest(covered, one["support"], float(promised), alternative="less")
                conditions[f"coverage_{promised}{'' if name == 'all' else f'_{name}'}"] = Condition(
                    one["coverage"],
                    bool(test.pvalue >= significance),
                    at_least=float(promised),
                    interval=tuple(one["interval"]),
                )
    return conditions


def _false_alarms(drift: dict[str, Any], limit: float) -> Condition:
    """The highest rate of any kind and size of batch. It holds if its 95 % interval reaches down to `limit`."""
    measured = [
        (rate["rate"], tuple(rate["interval"]))
        for kind, rates in drift["calibration"].items()
        if kind.startswith("false_alarm_rate")
        for rate in rates.values()
    ]
    if not measured:  # too few rows to draw batches from
        return Condition(None, False, at_most=limit)
    rate, interval = max(measured)
    return Condition(rate, interval[0] <= limit, at_most=limit, interval=interval)
