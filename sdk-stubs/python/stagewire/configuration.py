"""The stage's configuration: JSON from the pipeline file, as a dict or as the author's dataclass."""

from __future__ import annotations

import dataclasses
import inspect
import json
import types
import typing
from collections.abc import Callable
from typing import Any


class ConfigurationError(Exception):
    """The pipeline file does not give the stage what it needs; the sentence says what."""


def wanted_type(function: Callable[..., Any], position: int) -> type | None:
    """The dataclass that annotates the parameter at `position`; None: a dict will do."""
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) <= position:
        return None
    annotated = function.__init__ if inspect.isclass(function) else function
    hint = typing.get_type_hints(annotated).get(parameters[position].name)
    return hint if isinstance(hint, type) and dataclasses.is_dataclass(hint) else None


def build(document: bytes, wanted: type | None = None) -> Any:
    """The configuration that `document` holds; ConfigurationError when it does not fit `wanted`."""
    try:
        value = json.loads(document) if document else {}
    except ValueError as error:
        raise ConfigurationError(f"config: not JSON: {error}") from None
    return value if wanted is None else _convert(value, wanted, "config")


def _convert(value: Any, wanted: Any, path: str) -> Any:
    if dataclasses.is_dataclass(wanted):
        return _convert_dataclass(value, wanted, path)
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(value, inner, path)
    if origin is list and isinstance(value, list):
        return [_convert(each, inner[0], f"{path}[{i}]") for i, each in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {key: _convert(each, inner[1], f"{path}.{key}") for key, each in value.items()}
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not _fits(value, origin or wanted):
        name = getattr(wanted, "__name__", str(wanted))
        raise ConfigurationError(f"{path}: expected {name}, got {json.dumps(value)}")
    return value


def _fits(value: Any, wanted: Any) -> bool:
    if wanted in (typing.Any, object):
        return True
    if isinstance(value, bool):  # which Python takes for an int as well
        return wanted is bool
    return isinstance(wanted, type) and isinstance(value, wanted)


def _convert_union(value: Any, members: tuple[Any, ...], path: str) -> Any:
    if value is None and type(None) in members:
        return None
    errors = []
    for member in members:
        if member is not type(None):
            try:
                return _convert(value, member, path)
            except ConfigurationError as error:
                errors.append(error)
    raise errors[0]


def _convert_dataclass(value: Any, wanted: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path}: expected a mapping, got {json.dumps(value)}")
    hints = typing.get_type_hints(wanted)
    fields = {each.name: each for each in dataclasses.fields(wanted) if each.init}
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise ConfigurationError(
            f"{path}.{unknown[0]}: not known to this stage; it knows {', '.join(fields)}"
        )
    missing = [
        name for name, each in fields.items()
        if name not in value
        and each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigurationError(f"{path}.{missing[0]}: missing; this stage cannot do without it")
    return wanted(
        **{name: _convert(each, hints[name], f"{path}.{name}") for name, each in value.items()}
    )
