"""The stub of `Tensor`'s methods, for type checkers and editors, from the functions themselves.

    python -m tools.tensor_methods        # writes minigrad/core/methods.pyi

Functions become methods of `Tensor` by `@primitive(method=True)` or `@method`; at run time nothing
else declares them. The stub says the same to tools that do not run code.
"""

import inspect
import re
import textwrap
import typing
from pathlib import Path
from typing import Any

import minigrad
from minigrad.core.tensors import Tensor, methods

__all__ = ["stub"]

PATH = Path(minigrad.__file__).parent / "core" / "methods.pyi"
HIDDEN = ("__array_function__", "__array_ufunc__", "__reduce_ex__")  # for NumPy and pickle alone
HEADER = '''"""The methods of `Tensor`, written by `tools.tensor_methods`: do not edit."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from numpy import ndarray

from minigrad.core.tensors import Tensor, TensorLike
from minigrad.debug.extras import HookHandle

class TensorMethods:
    """What functions of minigrad and of NumPy's protocols give to tensors."""

    __slots__ = ()
'''


def stub() -> str:
    """The text of the stub."""
    shown = (name for name in methods if name not in HIDDEN)
    return HEADER + "".join(_entry(name, methods[name]) for name in sorted(shown)).rstrip() + "\n"


def _entry(name: str, function: Any) -> str:
    if isinstance(function, property):
        found = _annotation(inspect.signature(function.fget or property).return_annotation)
        head = f"    @property\n    def {name}(self) -> {'Tensor' if found == 'Any' else found}"
    else:
        signature = inspect.signature(function)
        parts = ["self", *_parameters(name, function, list(signature.parameters.values())[1:])]
        result = _result(name, function, signature.return_annotation)
        head = f"    def {name}({', '.join(parts)}) -> {result}"
        if len(head) > 95:
            listed = "".join(f"        {part},\n" for part in parts)
            head = f"    def {name}(\n{listed}    ) -> {result}"
    ignore = "  # type: ignore[override]" if name in ("__eq__", "__ne__") else ""
    summary = (inspect.getdoc(function) or "").partition("\n\n")[0].replace("\n", " ")
    if not summary or name.startswith("__"):
        return f"{head}: ...{ignore}\n"
    ending = '"""' if len(summary) <= 86 else '\n        """'
    lines = textwrap.fill(summary, 92, initial_indent=" " * 8, subsequent_indent=" " * 8)
    return f'{head}:{ignore}\n        """{lines.lstrip()}{ending}\n\n'


def _parameters(name: str, function: Any, parameters: list[inspect.Parameter]) -> list[str]:
    operation = getattr(function, "operation", None)
    inputs = () if operation is None else operation.inputs
    shown: list[str] = []
    for i, p in enumerate(parameters):
        if p.kind is p.KEYWORD_ONLY and not any(
            q.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL) for q in parameters[:i]
        ):
            shown.append("*")
        kind = "object" if name in ("__eq__", "__ne__") else _annotation(p.annotation)
        if p.name in inputs or (kind == "Any" and p.name == "other"):
            kind = "TensorLike"
        star = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
        default = "" if p.default is p.empty else f" = {_default(p.default)}"
        shown.append(f"{star}{p.name}: {kind}{default}")
        following = parameters[i + 1] if i + 1 < len(parameters) else None
        if p.kind is p.POSITIONAL_ONLY and (following is None or following.kind is not p.kind):
            shown.append("/")
    return shown


def _default(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value) if isinstance(value, (int, float, bool, type(None))) else "..."


def _annotation(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty or annotation is Any:
        return "Any"
    if annotation is Tensor:
        return "Tensor"
    if isinstance(annotation, typing.TypeVar):
        return "Self"
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(minigrad|collections|typing)(\.\w+)*\.(?=\w)", "", text)


def _result(name: str, function: Any, annotation: Any) -> str:
    if hasattr(function, "operation"):
        count = len(function.operation.outputs)
        return "Tensor" if count == 1 else f"tuple[{', '.join(['Tensor'] * count)}]"
    text = _annotation(annotation)
    return "Tensor" if text == "Any" and name.startswith("__") else text


if __name__ == "__main__":
    PATH.write_text(stub(), encoding="utf-8")
