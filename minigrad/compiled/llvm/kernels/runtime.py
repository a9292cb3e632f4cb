"""Functions that programs call: waiting for other threads, adding parts of sums, rows by index."""

from minigrad.compiled.llvm.native import BAD_INDEX, Host
from minigrad.compiled.llvm.vectors.elements import Elements
from minigrad.compiled.llvm.vectors.ir import BYTES, Code, Index, Module

__all__ = [
    "define_combine",
    "define_gather",
    "define_scatter",
    "define_take",
    "define_wait",
]

_TAKE = """define internal i64 @take(ptr %taken, i64 %limit) #0 noinline {
entry:
  %first = load atomic i64, ptr %taken monotonic, align 8
  br label %try
try:
  %chunk = phi i64 [ %first, %entry ], [ %seen, %swap ]
  %left = icmp slt i64 %chunk, %limit
  br i1 %left, label %swap, label %none
swap:
  %next = add i64 %chunk, 1
  %pair = cmpxchg ptr %taken, i64 %chunk, i64 %next acq_rel acquire
  %seen = extractvalue { i64, i1 } %pair, 0
  %mine = extractvalue { i64, i1 } %pair, 1
  br i1 %mine, label %got, label %try
got:
  ret i64 %chunk
none:
  ret i64 -1
}"""

_WAIT = """define internal void @wait(ptr %done, i64 %limit) #0 noinline {
entry:
  br label %look
look:
  %turns = phi i64 [ 0, %entry ], [ %more, %again ]
  %now = load atomic i64, ptr %done acquire, align 8
  %all = icmp sge i64 %now, %limit
  br i1 %all, label %ready, label %not
not:
  PAUSE
  %long = icmp sgt i64 %turns, SPINS
  br i1 %long, label %yield, label %again
yield:
  YIELD
  br label %again
again:
  %more = add i64 %turns, 1
  br label %look
ready:
  ret void
}"""

_SPINS = 4000
"""Some 50 microseconds; then a thread lets others run, which matters when a core is taken away."""


def define_take(module: Module) -> None:
    """`take(taken, limit)`: the number of a chunk that nobody has taken, or -1."""
    if "take" not in module:
        module.define("take", _TAKE)


def define_wait(module: Module, target: Host) -> None:
    """`wait(done, limit)`: until so many chunks are done."""
    if "wait" in module:
        return
    pause = "fence acquire"
    if target.architecture == "x86":
        module.declare("void @llvm.x86.sse2.pause()")
        pause = "call void @llvm.x86.sse2.pause()"
    elif target.architecture == "arm":
        module.declare("void @llvm.aarch64.hint(i32)")
        pause = "call void @llvm.aarch64.hint(i32 1)"
    give_way = "SwitchToThread" if "windows" in target.triple else "sched_yield"
    module.declare(f"i32 @{give_way}()")
    text = _WAIT.replace("PAUSE", pause).replace("YIELD", f"%ignored = call i32 @{give_way}()")
    module.define("wait", text.replace("SPINS", str(_SPINS)))


def define_combine(module: Module, kind: str, vector_bytes: int) -> str:
    """`combine(to, parts, size, stride, count)`: the sum of arrays that lie `stride` apart."""
    name = f"combine_{kind}"
    if name in module:
        return name
    code = Code(module)

    def of(width: int) -> None:
        elements = Elements(code, width)

        def one(i: Index, _values: list[str]) -> None:
            start = code.at("%parts", i, kind)

            def part(number: Index, values: list[str]) -> list[str]:
                at = code.at(start, code.multiply(number, "%stride"), kind)
                return [
                    elements.arithmetic("add", values[0], elements.load(at, kind, 1, width), kind)
                ]

            first = elements.load(start, kind, 1, width)
            (total,) = code.loop("1", "%count", 1, part, [(elements.type(kind), first)])
            elements.store(total, code.at("%to", i, kind), kind, 1, width)

        if width > 1:
            whole = code.multiply(code.value(f"udiv i64 %size, {width}"), width)
            code.loop("0", whole, width, one)
            of(1)
        else:
            code.loop(whole_of(code, vector_bytes, kind), "%size", 1, one)

    of(vector_bytes // BYTES[kind])
    code.do("ret void")
    head = "ptr %to, ptr %parts, i64 %size, i64 %stride, i64 %count"
    module.define(name, code.finish(f"define internal void @{name}({head}) noinline"))
    return name


def whole_of(code: Code, vector_bytes: int, kind: str) -> Index:
    """How many of `%size` elements fill whole vectors."""
    width = vector_bytes // BYTES[kind]
    return code.multiply(code.value(f"udiv i64 %size, {width}"), width)


def _checked_index(code: Code, i: Index) -> tuple[str, str]:
    index = code.value(f"load i64, ptr {code.at('%indices', i, 'i64')}")
    return index, code.value(f"icmp ult i64 {index}, %n")


def _note_bad_index(code: Code) -> None:
    code.do(f"store i64 1, ptr {code.at('%room', BAD_INDEX, 'i8')}")


def define_gather(module: Module, row_bytes: int) -> str:
    """`gather(to, table, stride, n, indices, count, room)`: rows of a table; stride in bytes."""
    name = f"gather_{row_bytes}"
    if name in module:
        return name
    code = Code(module)

    def one(i: Index, _values: list[str]) -> None:
        index, good = _checked_index(code, i)

        def copy() -> None:
            source = code.at("%table", code.multiply(index, "%stride"), "i8")
            target = code.at("%to", code.multiply(i, row_bytes), "i8")
            code.intrinsic(
                "void", "llvm.memcpy.p0.p0.i64", f"ptr {target}", f"ptr {source}",
                f"i64 {row_bytes}", "i1 false",
            )  # fmt: skip

        code.choose(good, copy, lambda: _note_bad_index(code))

    code.loop("0", "%count", 1, one)
    code.do("ret void")
    head = "ptr %to, ptr %table, i64 %stride, i64 %n, ptr %indices, i64 %count, ptr %room"
    module.define(name, code.finish(f"define internal void @{name}({head}) noinline"))
    return name


def define_scatter(module: Module, kind: str, vector_bytes: int, row: int) -> str:
    """`scatter(to, rows, n, indices, count, room)`: each row is added to that of its index."""
    name = f"scatter_{kind}_{row}"
    if name in module:
        return name
    code = Code(module)

    def one(i: Index, _values: list[str]) -> None:
        index, good = _checked_index(code, i)

        def add() -> None:
            source = code.at("%rows", code.multiply(i, row), kind)
            target = code.at("%to", code.multiply(index, row), kind)
            width = vector_bytes // BYTES[kind]
            done = 0
            while width:
                elements = Elements(code, width)

                def piece(j: Index, _values: list[str], elements: Elements = elements) -> None:
                    x = elements.load(code.at(source, j, kind), kind, 1, elements.width)
                    at = code.at(target, j, kind)
                    old = elements.load(at, kind, 1, elements.width)
                    total = elements.arithmetic("add", old, x, kind)
                    elements.store(total, at, kind, 1, elements.width)

                end = row // width * width
                code.loop(done, end, width, piece)
                done, width = end, width // 2

        code.choose(good, add, lambda: _note_bad_index(code))

    code.loop("0", "%count", 1, one)
    code.do("ret void")
    head = "ptr %to, ptr %rows, i64 %n, ptr %indices, i64 %count, ptr %room"
    module.define(name, code.finish(f"define internal void @{name}({head}) noinline"))
    return name
