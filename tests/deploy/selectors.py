"""Run by deploy/.venv, which has a parser of PromQL: for each expression of a JSON list, what it selects.

Prints a list of [metric, labels that it is selected by] for each.
"""

import json
import sys

import promql_parser as promql


def selectors(expression: str) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []

    def visit(node: promql.Expr) -> bool:
        if isinstance(node, promql.VectorSelector):
            found.append((node.name, [matcher.name for matcher in node.matchers.matchers]))
        return True

    promql.walk(promql.parse(expression), visit)
    return found


if __name__ == "__main__":
    json.dump([selectors(expression) for expression in json.load(sys.stdin)], sys.stdout)
