"""What the query of an ``sql`` rule may be: one SELECT of a network's relations, of functions from a closed list.

DuckDB parses it (``json_serialize_sql``), and the tree is walked: everything that is not known to be harmless is
refused - statements within a WITH that write, table functions, other tables, and functions that make large values out
of small ones or run for minutes where no interrupt reaches them. Then it is run in a transaction that may not write and
is rolled back, and broken off after :data:`SECONDS`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from banbury.decide.network import Network
from banbury.model.errors import InputError

#: How long a query may run, and how long its text may be.
SECONDS, LENGTH = 20.0, 10_000
#: What it may read, beside what it names itself in WITH.
RELATIONS = frozenset(
    {
        *("elements", "elements_now", "sites", "links", "sensitive", "assurance", "components", "vendors", "shares"),
        *("share_groups", "functions", "policy_elements", "policy_vendors", "policy_parts"),
    }
)
_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_FROM = frozenset({"BASE_TABLE", "SUBQUERY", "JOIN", "EMPTY", "EMPTY_FROM", "EXPRESSION_LIST"})
_EXPRESSIONS = frozenset(
    {
        *("BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION"),
        *("OPERATOR", "STAR", "SUBQUERY", "WINDOW", "TYPE"),
    }
)
_FUNCTIONS = frozenset(
    {
        *(
            "+",
            "-",
            "*",
            "/",
            "//",
            "%",
            "~~",
            "!~~",
            "~~*",
            "!~~*",
            "abs",
            "ceil",
            "floor",
            "round",
            "greatest",
            "least",
        ),
        *("sqrt", "sin", "cos", "asin", "acos", "atan2", "radians", "degrees", "ln", "exp", "isfinite", "isnan"),
        *("lower", "upper", "trim", "ltrim", "rtrim", "length", "strlen", "left", "right", "substring", "substr"),
        *("contains", "prefix", "suffix", "starts_with", "ends_with", "regexp_matches", "regexp_full_match", "^@"),
        *("coalesce", "ifnull", "nullif", "list_contains", "list_has", "list_has_any", "list_has_all", "len"),
        *("array_contains", "list_value", "unnest", "year", "month", "day", "date_part", "date_diff", "datediff"),
        *("count", "count_star", "sum", "avg", "min", "max", "median", "bool_or", "bool_and", "any_value", "first"),
        *("arg_min", "arg_max", "row_number", "rank", "dense_rank", "lag", "lead", "getvariable"),
    }
)


def _dicts(tree: Any) -> Iterator[dict[str, Any]]:
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _wrong(part: dict[str, Any], known: frozenset[str]) -> str:
    """What is not allowed in one part of the tree; empty where all is."""
    kind, of = str(part.get("type", "")), str(part.get("class", ""))
    wrong = ""
    if of:
        name = str(part.get("function_name", "")).lower()
        if of not in _EXPRESSIONS:
            wrong = f"an expression of the kind {of}"
        elif of in {"FUNCTION", "WINDOW"} and name not in _FUNCTIONS:
            wrong = f"the function {name[:60]}"
    elif kind.endswith("_NODE"):
        wrong = "" if kind in _NODES else f"a statement of the kind {kind}"
    elif "table_name" in part or ("alias" in part and "sample" in part):
        path = part.get("qualified_name", {}).get("path", [])
        if kind not in _FROM:
            wrong = f"a FROM of the kind {kind}"
        elif kind == "BASE_TABLE" and (len(path) != 1 or str(path[0]).lower() not in known):
            wrong = f"the table {'.'.join(map(str, path))[:60]}"
    return wrong


def check(network: Network, query: str) -> None:
    """Refuse what the query of a rule may not be. Raises :class:`InputError` that says what was found."""
    if len(query) > LENGTH:
        raise InputError(f"query: longer than {LENGTH:,} characters")
    network.one_select(query)
    found = network.sql("SELECT json_serialize_sql($query)", {"query": query})[0][0]
    tree = json.loads(found)
    if tree.get("error") or len(tree.get("statements", [])) != 1:
        raise InputError(f"query: {str(tree.get('error_message', 'not one statement'))[:200]}")
    named = {
        str(entry["key"]).lower()
        for part in _dicts(tree)
        for entry in part.get("cte_map", {}).get("map", [])
        if isinstance(entry, dict)
    }
    for part in _dicts(tree):
        wrong = _wrong(part, RELATIONS | named)
        if wrong:
            raise InputError(f"query: {wrong} is not allowed in a rule")
