"""Native code for graphs: LLVM IR as text, built by llvmlite.

From the ground up: `ir` writes text, `functions` are vector mathematics, `native` builds and loads
code, `cache` keeps it on disk, `rows` and `tiles` are kernels, `fuse` decides what runs together.
Only `native` imports llvmlite, when code is built.
"""
