"""What a contract test asks of a private name: it is there, it is called so, it does so.

Introspection only. A failure names the name and the file of ours that leans on it.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Method:
    """A function of a foreign class: `parameters` in order, without self."""

    owner: Any
    name: str
    parameters: tuple[str, ...]
    used_by: str
    is_coroutine: bool = False

    def __str__(self) -> str:
        return f"{self.owner.__module__}.{self.owner.__qualname__}.{self.name}"


def plain(function: Any) -> Any:
    """The function itself: mode wraps background tasks in a ServiceTask."""
    return inspect.unwrap(getattr(function, "fun", function))


def check_method(method: Method) -> None:
    """Fail with a sentence where the method is gone or is called otherwise."""
    found = inspect.getattr_static(method.owner, method.name, None)
    assert found is not None, f"{method} is gone; {method.used_by} uses it"
    function = plain(getattr(method.owner, method.name))
    names = tuple(inspect.signature(function).parameters)
    names = names[1:] if names[:1] == ("self",) else names
    assert names == method.parameters, (
        f"{method} takes {names}, {method.used_by} was written for {method.parameters}"
    )
    assert inspect.iscoroutinefunction(function) is method.is_coroutine, (
        f"{method} {'no longer is' if method.is_coroutine else 'has become'} a coroutine; "
        f"{method.used_by} calls it"
    )


def check_source(function: Any, used_by: str, *needed: str) -> None:
    """Fail with a sentence where the source of a function no longer says what we lean on."""
    function = plain(function)
    where = f"{function.__module__}.{function.__qualname__}"
    source = " ".join(inspect.getsource(function).split())
    for text in needed:
        assert " ".join(text.split()) in source, (
            f"{where} no longer says `{text}`; {used_by} leans on it: read it again"
        )
