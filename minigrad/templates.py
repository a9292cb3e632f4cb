"""The text of the functions that apply operations.

They are generated from one template for their signatures, in the way of `dataclasses`: they are the
engine's hot path, and argument packing would cost as much as the rest.
"""

from minigrad.operations import Operation

__all__ = ["apply_source"]

TEMPLATE_REFERENCE = """\
    if not _mode_now().fused or _any_complex(({arrays},)):
        return _reference({passed})
"""

TEMPLATE_INPUT = """\
    if isinstance({name}, _Tensor):
        _{name}_node = {name}._node
        _{name}_array = {name}._array
    else:
{defer}        _{name}_node = None
        _{name}_array = {known}_operand({name}, {op_name!r}, {name!r}, ({others}))
"""

TEMPLATE_DEFER = """\
        if {name}.__class__ not in _as_is and _defers({name}):
            return NotImplemented
"""

TEMPLATE_LIST = """\
    {name}, _{name}_array, _nodes = _take_list({name}, _op)
"""

TEMPLATE_FORWARD = """\
    try:
        {results} = _forward({arguments})
    except Exception as _error:
        raise _explain(_op, _error, ({arrays},), {params}) from _error
    _mode = _mode_now()
"""

TEMPLATE_FAST = """\
    if y.__class__ is not _ndarray: y = _finish(y, ({names},))
    _node = None
    if _mode.plain:
        if {on_tape}:
            _plan = _plans[{mask}]
            _node = _new(_Node)
            _node.plan = _plan
            _node.inputs = {nodes}
            _node.saved = _plan.save({arrays}, {results})
            _node.params = {params}
            _node.shape = y.shape
            _node.dtype = _dtype = y.dtype
            _node.scope = _mode.scope
            _node.extras = None
            _node.number = _next_number()
            if _dtype.kind != "f": _refuse_dtype({op_name!r}, y)
    elif _mode.watching:
        return _record(_op, _mode, ({names},), ({arrays},), {nodes}, {params}, ({results},))
    _tensor = _new(_Tensor)
    _tensor._array = y
    _tensor._node = _node
{part}    return _tensor
"""

TEMPLATE_GENERAL = """\
    return _record(_op, _mode, ({names},), ({arrays},), {nodes}, {params}, ({results},))
"""


def apply_source(op: Operation, deferring: bool = False, reflected: bool = False) -> str:
    """The source of the function that applies an operation, or of an operator (`make_operator`).

    Its own names begin with an underscore, so that they cannot meet those of the operation.
    """
    head: list[str] = []
    for name in (*op.inputs, *op.params):
        if name in op.keyword_only and "*" not in head:
            head.append("*")
        head.append(f"{name}=_default_{name}" if name in op.defaults else name)
        if name == op.inputs[-1] and op.forward.__code__.co_posonlyargcount:
            head.append("/")
    names = op.inputs
    arguments = [f"_{n}_array" for n in names] + [
        f"{n}={n}" if n in op.keyword_only else n for n in op.params
    ]
    single = len(op.outputs) == 1 and not op.list_input
    mask = "1"
    if len(names) > 1:
        mask = " | ".join(f"((_{n}_node is not None) << {i})" for i, n in enumerate(names))
    fields = {
        "names": f"*{names[0]}" if op.list_input else ", ".join(names),
        "arrays": ", ".join(f"_{n}_array" for n in names),
        "nodes": "_nodes" if op.list_input else "(" + "".join(f"_{n}_node, " for n in names) + ")",
        "mask": mask,
        "on_tape": " or ".join(f"_{n}_node is not None" for n in names),
        "op_name": op.name,
        "params": "{" + ", ".join(f"{n!r}: {n}" for n in op.params) + "}"
        if op.params
        else "_no_params",
        "results": ", ".join((*op.outputs, *op.aux)),
        "arguments": ", ".join(arguments),
    }
    fields["part"] = "    _tensor._part = _op\n" if op.part else ""
    if op.constant:
        fields["on_tape"] = "False"
    if op.list_input:
        fields["names"] = names[0]
    text = f"def {op.name}({', '.join(head[::-1] if reflected else head)}):\n"
    for name in names:
        others = "".join(f"{other}, " for other in names if other != name)
        known = "" if len(names) == 1 else f"{name} if {name}.__class__ in _as_is else "
        template = TEMPLATE_LIST if op.list_input else TEMPLATE_INPUT
        defer = TEMPLATE_DEFER.format(name=name) if deferring else ""
        text += template.format(name=name, known=known, others=others, op_name=op.name, defer=defer)
    if op.reference is not None:
        text += TEMPLATE_REFERENCE.format(
            **fields, passed=", ".join([*names, *(f"{n}={n}" for n in op.params)])
        )
    text += TEMPLATE_FORWARD.format(**fields)
    text += (TEMPLATE_FAST if single else TEMPLATE_GENERAL).format(**fields)
    return text
