"""From a config file's section to a frozen dataclass, with errors that name the key.

A section of a config is one constructor's keyword arguments. `build` turns it into
that constructor's frozen dataclass and refuses whatever the class does not know,
lacks or cannot hold. Only this module, `configs/` and `launch/` know ml_collections.
"""

import collections.abc
import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

import ml_collections

T = TypeVar("T")


class ConfigError(ValueError):
    """A config holds a key or a value that cannot be used; the message names it."""


def build(cls: type[T], section: Mapping[str, Any], *, path: str = "") -> T:
    """Builds a dataclass from a section of a config.

    Args:
      cls: A dataclass. Its annotations are the schema: `int`, `float`, `bool`, `str`,
        `Literal`, `X | None`, `tuple[X, ...]`, `tuple[X, Y]`, dataclasses, `Any`.
      section: A `ConfigDict` or mapping with one entry per field.
      path: Where the section stands in the config, for messages.

    Returns:
      An instance of `cls`. Lists become tuples, and ints where floats are due floats.

    Raises:
      ConfigError: Naming the key, for an unknown or missing key or a wrong type.
    """
    if isinstance(section, ml_collections.ConfigDict):
        section = section.to_dict()
    if not isinstance(section, Mapping):
        raise ConfigError(
            f"config section {path or cls.__name__!r} must be a dict of"
            f" {cls.__name__}'s fields, got {_show(section)}"
        )
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(typing.cast(Any, cls)) if f.init}
    for key in section:
        if key not in fields:
            raise ConfigError(
                f"unknown config key {_join(path, key)!r}: {cls.__name__} has"
                f" {', '.join(sorted(fields))}"
            )
    values = {}
    for name, field in fields.items():
        if name in section:
            values[name] = _convert(hints[name], section[name], _join(path, name))
        elif _is_required(field):
            raise ConfigError(f"missing config key {_join(path, name)!r}")
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"config section {path or cls.__name__!r}: {error}") from None


def _is_required(field: dataclasses.Field) -> bool:
    return (
        field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    )


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _show(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"


def _convert(hint: Any, value: Any, path: str) -> Any:
    """`value` as `hint` describes it, or a ConfigError that names `path`."""
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, path=path)
    origin = typing.get_origin(hint)
    if origin is Literal:
        return _convert_literal(hint, value, path)
    if origin in (Union, types.UnionType):
        return _convert_union(hint, value, path)
    if origin in (tuple, list, collections.abc.Sequence):
        return _convert_sequence(hint, value, path)
    if origin in (dict, Mapping, collections.abc.Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"config key {path!r} must be a dict, got {_show(value)}")
        return dict(value)
    return _convert_plain(hint, value, path)


def _convert_plain(hint: type, value: Any, path: str) -> Any:
    if hint is float and type(value) is int:
        return float(value)
    # bool is an int to Python; a config that says True where 1 is meant is mistaken.
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(
            f"config key {path!r} must be {hint.__name__}, got {_show(value)}"
        )
    return value


def _convert_literal(hint: Any, value: Any, path: str) -> Any:
    choices = typing.get_args(hint)
    if value not in choices:
        shown = ", ".join(repr(choice) for choice in choices)
        raise ConfigError(f"config key {path!r} must be one of {shown}, got {value!r}")
    return value


def _convert_union(hint: Any, value: Any, path: str) -> Any:
    options = typing.get_args(hint)
    if value is None and type(None) in options:
        return None
    rest = [o for o in options if o is not type(None)]
    errors = []
    for option in rest:
        try:
            return _convert(option, value, path)
        except ConfigError as error:
            errors.append(str(error))
    raise ConfigError(errors[0] if len(rest) == 1 else " or ".join(errors))


def _convert_sequence(hint: Any, value: Any, path: str) -> tuple:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"config key {path!r} must be a list, got {_show(value)}")
    kinds = typing.get_args(hint)
    if not kinds:
        return tuple(value)
    if len(kinds) == 2 and kinds[1] is Ellipsis or typing.get_origin(hint) is not tuple:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ConfigError(
            f"config key {path!r} must have {len(kinds)} entries, got {len(value)}"
        )
    return tuple(
        _convert(kind, item, f"{path}[{i}]")
        for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )
