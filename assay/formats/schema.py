"""JSON Schema (draft 2020-12), as much of it as the schemas in ``schemas/`` use."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("schemas")
KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
}


def names() -> list[str]:
    """Of all schemas."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))


@cache
def schema(name: str) -> dict[str, Any]:
    """The schema of a kind of file.

    Raises:
        ValueError: there is none of this name; those that there are are named.
    """
    if name not in names():
        raise ValueError(f"there is no schema {name!r}: there are {', '.join(names())}")
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def misfit(name: str, value: Any) -> str:
    """Where JSON values do not fit a schema, in words; empty where they do."""
    whole = schema(name)
    return _misfit(whole, value, whole, "")


def _misfit(wanted: dict[str, Any], value: Any, whole: dict[str, Any], at: str) -> str:
    if "$ref" in wanted:
        return _misfit(whole["$defs"][wanted["$ref"].removeprefix("#/$defs/")], value, whole, at)
    here = at or "the whole"
    if "anyOf" in wanted:
        found = [_misfit(one, value, whole, at) for one in wanted["anyOf"]]
        return "" if "" in found else min(found, key=lambda why: (" lacks " in why, len(why)))  # of the nearest
    if "const" in wanted and (type(value) is not type(wanted["const"]) or value != wanted["const"]):
        return f"{here} is not {wanted['const']!r}"
    if "enum" in wanted and value not in wanted["enum"]:
        return f"{here} is none of {', '.join(map(str, wanted['enum']))}"
    kind = wanted.get("type")
    if kind is not None and (not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return f"{here} is no {kind}"
    return _misfit_of_parts(wanted, value, whole, at)


def _misfit_of_parts(wanted: dict[str, Any], value: Any, whole: dict[str, Any], at: str) -> str:
    here = at or "the whole"
    if isinstance(value, dict):
        known, more = wanted.get("properties", {}), wanted.get("additionalProperties", True)
        missing = [key for key in wanted.get("required", ()) if key not in value]
        if missing:
            return f"{here} lacks {', '.join(missing)}"
        for key, part in value.items():
            of = known.get(key, more)
            if of is False:
                return f"{here} has an unknown entry {str(key)[:40]!r}"
            inside = _misfit(of, part, whole, f"{at}.{key}".lstrip(".")[:200]) if isinstance(of, dict) else ""
            if inside:
                return inside
    elif isinstance(value, list):
        if not wanted.get("minItems", 0) <= len(value) <= wanted.get("maxItems", len(value)):
            return f"{here} has {len(value)} entries"
        for i, part in enumerate(value if "items" in wanted else ()):
            inside = _misfit(wanted["items"], part, whole, f"{at}[{i}]")
            if inside:
                return inside
    elif isinstance(value, str):
        if "pattern" in wanted and not re.search(wanted["pattern"], value):
            return f"{here} is not of the form {wanted['pattern']}"
    elif isinstance(value, int | float):
        if value != value:
            return f"{here} is no number"
        above = wanted.get("exclusiveMinimum")
        if value < wanted.get("minimum", value) or (above is not None and value <= above):
            return f"{here} is too small"
    return ""
