"""Hashes of functions, so that stored results of a function that has changed are not used again."""

from __future__ import annotations

import functools
import hashlib
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

#: Values deeper than this inside of others do not count.
_DEPTH = 8


def fingerprint(function: Callable[..., Any]) -> str:
    """SHA-256 (hexadecimal) of a function's code and of the values that it was made with.

    The code is its source where Python finds it, else its bytecode. What it calls is not part of
    it: whoever changes a helper should use another folder for the results.
    """
    return hashlib.sha256(repr(_parts(function, ())).encode()).hexdigest()


def _parts(value: Any, above: tuple[int, ...]) -> Any:
    """Plain data that stands for a value; ``above`` are the values that it is a part of."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    kind = type(value).__qualname__
    if id(value) in above or len(above) > _DEPTH:
        return kind
    if isinstance(value, type | types.ModuleType):
        return kind, value.__name__, _code(value) if isinstance(value, type) else ""
    inside = functools.partial(_parts, above=(*above, id(value)))
    if isinstance(value, list | tuple):
        return kind, [inside(item) for item in value]
    if isinstance(value, Mapping):
        return kind, [(inside(key), inside(item)) for key, item in value.items()]
    if hasattr(value, "tobytes"):  # an array
        return kind, str(getattr(value, "dtype", "")), getattr(value, "shape", ()), value.tobytes()
    if isinstance(value, functools.partial):
        return kind, inside(value.func), inside(value.args), inside(value.keywords)
    if isinstance(value, types.MethodType):
        return kind, inside(value.__func__), inside(value.__self__)
    if callable(value):
        plain = inspect.unwrap(value)
        if isinstance(plain, types.FunctionType):
            cells = [_content(cell) for cell in plain.__closure__ or ()]
            made_with = (plain.__defaults__, plain.__kwdefaults__, cells)
            return kind, _code(plain), inside(made_with)
        return kind, _code(type(plain)), inside(getattr(plain, "__dict__", {}))
    return kind, inside(getattr(value, "__dict__", {}))


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is bound later
        return None


def _code(found: Any) -> Any:
    try:
        return inspect.getsource(found)
    except (OSError, TypeError):  # typed at a prompt, or made by exec
        code = getattr(found, "__code__", None) or getattr(found.__call__, "__code__", None)
        return found.__qualname__ if code is None else _bytecode(code)


def _bytecode(code: types.CodeType) -> Any:
    constants = [
        _bytecode(item) if isinstance(item, types.CodeType) else repr(item)
        for item in code.co_consts
    ]
    return code.co_code, code.co_names, constants
