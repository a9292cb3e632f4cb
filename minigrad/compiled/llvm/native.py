"""Building code with llvmlite, and calling it on arrays.

A program is a function `i32 main(ptr frame, ptr workspace, i64 thread, i64 threads)`; one for a
single thread may leave out the numbers. The frame is a tuple of arrays, out of which the program
itself reads where their elements are: asking NumPy for `array.ctypes.data` costs a microsecond or
more for each. Where items and pointers lie is checked once against `__array_interface__`; where
that fails, on another Python, the frame is a table of addresses.

Registers of control: `enter` clears the status flags, and lets subnormal numbers be zero in
programs of float32; `leave` reads the flags, restores everything, and returns them.
"""

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, TypeAlias

import numpy as np

from minigrad.compiled.flags import DIVISION, INVALID, OVERFLOW
from minigrad.compiled.llvm import cache
from minigrad.compiled.llvm.vectors.ir import Code
from minigrad.forks import importing, wait_before_forks
from minigrad.io.packages import require

__all__ = [
    "BAD_INDEX",
    "Host",
    "Layout",
    "Library",
    "arguments",
    "enter",
    "from_disk",
    "host",
    "key_of",
    "layout",
    "leave",
    "load_code",
    "make_frame",
]

PlainArray: TypeAlias = np.ndarray[Any, Any]

FORMAT: Final = "1"
"""Part of the key of code on disk; to be counted up when the calls of a program change."""

BAD_INDEX: Final = 0
"""Where in the workspace a program notes that an index was out of range."""

_POINTER: Final = ctypes.sizeof(ctypes.c_void_p)


@dataclass(frozen=True)
class Host:
    """What code is built for.

    Attributes:
        cpu, features: as LLVM names them.
        triple: architecture, vendor, system.
        vector_bytes: of the widest vectors that the processor has.
    """

    cpu: str
    features: str
    triple: str
    vector_bytes: int

    @property
    def architecture(self) -> str:
        """`x86`, `arm`, or the first part of the triple."""
        name = self.triple.partition("-")[0]
        if name in ("x86_64", "amd64", "i386", "i686"):
            return "x86"
        return "arm" if name in ("aarch64", "arm64") else name

    @property
    def scales(self) -> bool:
        """Whether it has AVX-512, with an instruction that multiplies with powers of two."""
        return self.vector_bytes == 64 and self.architecture == "x86"

    @property
    def fences(self) -> bool:
        """Whether LLVM has arithmetic fences for it; on others it may end the process at one."""
        return self.architecture in ("x86", "arm")


@functools.cache
def _binding() -> ModuleType:
    """llvmlite, made ready.

    Raises:
        MissingPackageError: when it is not installed; the message names the ``pip install``.
    """
    with importing:  # no process is forked before its lock is known
        binding = require("llvmlite.binding", "fast", "compiling to native code")
        _wait_before_forks(binding)
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
    return binding


def _wait_before_forks(binding: Any) -> None:
    """Let processes be forked only while no other thread is inside of LLVM.

    llvmlite has one lock for everything; held by a thread that the new process does not have, it
    would never be free there.
    """
    lock = getattr(binding.ffi.lib, "_lock", None)
    if lock is not None:
        wait_before_forks(lambda: lock)


@functools.cache
def host(cpu: str | None = None) -> Host:
    """This machine, or one like it with the features of another processor, such as `x86-64-v3`.

    Without an argument, the environment variable `MINIGRAD_COMPILE_CPU` may name one.
    """
    binding = _binding()
    triple = binding.get_default_triple()
    cpu = cpu or os.environ.get("MINIGRAD_COMPILE_CPU")
    if cpu:
        wide = {"x86-64-v4": 64, "x86-64-v3": 32, "x86-64-v2": 16, "x86-64": 16}.get(cpu, 16)
        return Host(cpu, "", triple, wide)
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        wide = 64
    elif features.get("avx2") and features.get("fma"):
        wide = 32
    else:
        wide = 16  # SSE2, or NEON
    return Host(binding.get_host_cpu_name(), features.flatten(), triple, wide)


class Library:
    """Code in memory. Its functions may be called as long as this object lives."""

    def __init__(self, engine: Any, from_disk: bool) -> None:
        self._engine = engine
        self.from_disk = from_disk

    def address(self, name: str) -> int:
        """Where a function is."""
        address: int = self._engine.get_function_address(name)
        if not address:
            raise KeyError(f"the code has no function {name!r}")
        return address

    def function(self, name: str, kind: Any) -> Any:
        """A function that calls the code of a name, and keeps it in memory as long as it lives.

        Args:
            name: as in the module.
            kind: what ctypes makes of the types of its result and arguments.
        """
        found = kind(self.address(name))
        found.code = self
        return found

    def main(self) -> Callable[[int, int, int, int], int]:
        """The function `main` of a program: frame, workspace, thread and threads to status flags.

        It lets go of the interpreter's lock while it runs.
        """
        kind = ctypes.CFUNCTYPE(
            ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
        )
        main: Callable[[int, int, int, int], int] = self.function("main", kind)
        return main


def _machine(target: Host) -> Any:
    binding = _binding()
    chosen = binding.Target.from_triple(target.triple)
    return chosen.create_target_machine(cpu=target.cpu, features=target.features, opt=2)


def key_of(text: str, target: Host) -> str:
    """The name that code of a module has on disk."""
    kind = target.cpu, target.features, target.triple
    return cache.key_of(text, *kind, binding_version(), sys.version, FORMAT)


def from_disk(key: str, target: Host) -> Library | None:
    """The code of a name, if it was built before."""
    code = cache.read(key)
    if code is None:
        return None
    binding = _binding()
    empty = binding.parse_assembly(f'target triple = "{target.triple}"')
    engine = binding.create_mcjit_compiler(empty, _machine(target))
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return Library(engine, from_disk=True)


def load_code(text: str, target: Host | None = None) -> Library:
    """Build a module, or load it from disk if the same text was built before for this processor.

    Raises:
        MissingPackageError: without llvmlite.
        RuntimeError: the text is no module.
    """
    binding = _binding()
    target = target or host()
    key = key_of(text, target)
    found = from_disk(key, target)
    if found is not None:
        return found
    machine = _machine(target)
    module = binding.parse_assembly(text)
    module.triple = target.triple
    # Vectors and loops are written as they should be: LLVM inlines, and makes instructions of them.
    options = binding.create_pipeline_tuning_options(speed_level=0)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    engine = binding.create_mcjit_compiler(module, machine)
    built: list[bytes] = []
    engine.set_object_cache(lambda _module, code: built.append(code), lambda _module: None)
    engine.finalize_object()
    if built:
        cache.write(key, built[0])
    return Library(engine, from_disk=False)


def binding_version() -> str:
    """The versions of llvmlite and LLVM."""
    llvmlite = require("llvmlite", "fast", "compiling to native code")
    return f"{llvmlite.__version__} {_binding().llvm_version_info}"


# -- the frame --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """Where the items of a tuple begin, and where in an array object the pointer lies; in bytes."""

    items: int
    data: int


@functools.cache
def layout() -> Layout | None:
    """What the memory of tuples and arrays looks like here, or None if that cannot be told."""
    if sys.implementation.name != "cpython":
        return None
    found = Layout(tuple.__basicsize__, object.__basicsize__)
    arrays: tuple[PlainArray, ...] = (
        *(np.zeros(3), np.zeros((2, 2), np.float32)[1:]),
        *(np.array(1.0), np.zeros((0, 2))),
    )
    for number, array in enumerate(arrays):
        item = ctypes.c_void_p.from_address(id(arrays) + found.items + number * _POINTER).value
        if item != id(array):
            return None
        data = ctypes.c_void_p.from_address(item + found.data).value
        if data != array.__array_interface__["data"][0]:
            return None
    return found


def make_frame(arrays: tuple[PlainArray, ...], shape: Layout | None) -> tuple[int, Any]:
    """The address of a frame, and what must live as long as it is used."""
    if shape is not None:
        return id(arrays), arrays
    table = (ctypes.c_void_p * max(len(arrays), 1))(
        *(array.__array_interface__["data"][0] for array in arrays)
    )
    return ctypes.addressof(table), (table, arrays)


def arguments(code: Code, count: int, shape: Layout | None) -> list[str]:
    """The pointers to the elements of the arrays in `%frame`."""
    pointers = []
    for number in range(count):
        if shape is None:
            item = code.at("%frame", number * _POINTER, "i8")
        else:
            place = code.at("%frame", shape.items + number * _POINTER, "i8")
            array = code.value(f"load ptr, ptr {place}")
            item = code.at(array, shape.data, "i8")
        pointers.append(code.value(f"load ptr, ptr {item}"))
    return pointers


# -- status flags -------------------------------------------------------------------------------

_X86_STATUS: Final = 0x3F
_X86_FLUSH: Final = 0x8040
_ARM_FLUSH: Final = 1 << 24


def enter(code: Code, target: Host, flush: bool) -> str:
    """Clear the status flags, flush subnormal numbers if asked; returns what to restore."""
    if target.architecture == "x86":
        place, changed = code.value("alloca i32"), code.value("alloca i32")
        code.intrinsic("void", "llvm.x86.sse.stmxcsr", f"ptr {place}")
        old = code.value(f"load i32, ptr {place}")
        new = code.value(f"and i32 {old}, {~_X86_STATUS}")
        if flush:
            new = code.value(f"or i32 {new}, {_X86_FLUSH}")
        code.do(f"store i32 {new}, ptr {changed}")
        code.intrinsic("void", "llvm.x86.sse.ldmxcsr", f"ptr {changed}")
        return place
    if target.architecture == "arm":
        old = code.intrinsic("i64", "llvm.aarch64.get.fpcr")
        if flush:
            new = code.value(f"or i64 {old}, {_ARM_FLUSH}")
            code.intrinsic("void", "llvm.aarch64.set.fpcr", f"i64 {new}")
        code.intrinsic("void", "llvm.aarch64.set.fpsr", "i64 0")
        return old
    return ""


def leave(code: Code, target: Host, saved: str) -> str:
    """Restore what `enter` changed; returns the status, of `INVALID`, `DIVISION`, `OVERFLOW`.

    On processors other than those of `enter`, the status is 0 and nothing is flushed.
    """
    if target.architecture == "x86":
        place = code.value("alloca i32")
        code.intrinsic("void", "llvm.x86.sse.stmxcsr", f"ptr {place}")
        flags = code.value(f"load i32, ptr {place}")
        code.intrinsic("void", "llvm.x86.sse.ldmxcsr", f"ptr {saved}")
        # invalid, subnormal, division, overflow, underflow, inexact
        invalid = code.value(f"and i32 {flags}, 1")
        rest = code.value(f"and i32 {code.value(f'lshr i32 {flags}, 1')}, {DIVISION | OVERFLOW}")
        return code.value(f"or i32 {invalid}, {rest}")
    if target.architecture == "arm":
        flags = code.intrinsic("i64", "llvm.aarch64.get.fpsr")
        code.intrinsic("void", "llvm.aarch64.set.fpcr", f"i64 {saved}")
        small = code.value(f"trunc i64 {flags} to i32")
        return code.value(f"and i32 {small}, {INVALID | DIVISION | OVERFLOW}")
    return "0"
