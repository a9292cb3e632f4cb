"""Names of earlier versions: they go on working for this version, with a DeprecationWarning."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ["OldName", "renamed_arguments"]

Function = TypeVar("Function", bound=Callable[..., Any])


def renamed_arguments(**names: str) -> Callable[[Function], Function]:
    """Decorate a function so that it takes keyword arguments under earlier names too.

    Args:
        names: old=new for each; the function knows the new ones alone.

    Raises:
        TypeError: from the function, when an argument is given under both names.

    >>> @renamed_arguments(codes="token_ids")
    ... def count(token_ids):
    ...     return len(token_ids)
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     count(codes=[1, 2])
    2
    >>> str(caught[0].message)
    'count: the argument codes is called token_ids now; the old name goes with the next version'
    """

    def decorate(function: Function) -> Function:
        level = 3 if function.__name__ == "forward" else 2  # a module's call stands in between

        @functools.wraps(function)
        def with_old_names(*args: Any, **given: Any) -> Any:
            if given:
                for old in names.keys() & given.keys():
                    new = names[old]
                    title = function.__qualname__
                    if new in given:
                        raise TypeError(
                            f"{title}: {old} is the old name of {new}; pass one of them"
                        )
                    warnings.warn(
                        f"{title}: the argument {old} is called {new} now; the old name goes with "
                        "the next version",
                        DeprecationWarning,
                        stacklevel=level,
                    )
                    given[new] = given.pop(old)
            return function(*args, **given)

        return cast(Function, with_old_names)

    return decorate


class OldName:
    """An attribute of a class under its earlier name: a method, a property or a value.

    Args:
        new: the name that it has now.

    >>> class Model:
    ...     size = 3
    ...     width = OldName("size")
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     Model().width
    3
    >>> str(caught[0].message)
    'Model.width is called size now; the old name goes with the next version'
    """

    def __init__(self, new: str) -> None:
        self.new = new

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self  # so that tools which look through a class meet no warnings
        warnings.warn(
            f"{owner.__name__}.{self.name} is called {self.new} now; the old name goes with the "
            "next version",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(instance, self.new)
