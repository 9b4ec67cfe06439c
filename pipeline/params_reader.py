"""From plain YAML values to frozen dataclasses: types are the check, and the error names the key."""

import dataclasses
import difflib
import types
import typing
from typing import Any, TypeVar

from pipeline.errors import ParamsError

T = TypeVar("T")


def require(condition: bool, key: str, got: object, expected: str) -> None:
    """Raise the one-line error of a value that has the right type and cannot work."""
    if not condition:
        raise ParamsError(f"params.yaml: {key} is {got}, expected {expected}")


def build(cls: type[T], value: object, key: str) -> T:
    """An object of the dataclass `cls` from a mapping.

    Args:
        cls: a dataclass whose fields are all without default.
        value: what YAML gave.
        key: dotted path of this section, "" at the top.

    Raises:
        ParamsError: a key unknown or missing, or a value of another type.
    """
    if not isinstance(value, dict):
        raise ParamsError(f"params.yaml: {key or 'the file'} is {_shown(value)}, expected a section of keys")
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in value:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else f"; it has: {', '.join(names)}"
            raise ParamsError(f'params.yaml: {key or "the file"} has no key "{name}"{hint}')
    for name in names:
        if name not in value:
            raise ParamsError(f"params.yaml: {_join(key, name)} is missing, expected {_expected(hints[name])}")
    arguments = {name: convert(hints[name], value[name], _join(key, name)) for name in names}
    try:
        return cls(**arguments)
    except ParamsError as error:
        raise ParamsError(_with_section(str(error), key)) from None


def convert(hint: Any, value: object, key: str) -> Any:
    """`value` as the annotated type `hint`; int is taken for float, nothing else is changed."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, key)  # type: ignore[arg-type]
    if origin is typing.Literal:
        if value in arguments and type(value) is type(arguments[0]):
            return value
    elif origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return convert(next(a for a in arguments if a is not type(None)), value, key)
    elif origin is tuple:
        if isinstance(value, list):
            return tuple(convert(arguments[0], item, f"{key}[{i}]") for i, item in enumerate(value))
    elif hint is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise ParamsError(f"params.yaml: {key} is {_shown(value)}, expected {_expected(hint)}")


def to_values(params: object) -> Any:
    """The plain YAML values of a params object (tuples as lists)."""
    if dataclasses.is_dataclass(params):
        return {field.name: to_values(getattr(params, field.name)) for field in dataclasses.fields(params)}
    return [to_values(item) for item in params] if isinstance(params, tuple) else params


def _expected(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return "a section of keys"
    if origin is typing.Literal:
        return "one of " + ", ".join(str(choice) for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if a is type(None) else _expected(a) for a in arguments)
    if origin is tuple:
        return f"a list, each {_expected(arguments[0])}"
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[hint]


def _shown(value: object) -> str:
    """The value as in YAML."""
    if isinstance(value, str):
        return f'the text "{value}"'
    return {None: "null", True: "true", False: "false"}.get(value, str(value)) if isinstance(value, (bool, type(None))) else str(value)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _with_section(message: str, key: str) -> str:
    """A check inside a nested section knows only its last name ("train.steps"); say the whole key."""
    section = key.rsplit(".", 1)[-1]
    marker = f"params.yaml: {section}."
    return message.replace(marker, f"params.yaml: {key}.", 1) if section and message.startswith(marker) else message
