"""Native code for graphs: LLVM IR as text, built by llvmlite.

From the ground up: `vectors` writes text and vector mathematics; `planning` decides what runs
together and where values are; `kernels` are rows, products, and what else programs call; `emit`
puts a program together, `native` builds and calls it, `cache` keeps code on disk, `crew` are the
threads, and `program` is the back end, `build(graph)`. It imports `writing`, and with it what plans
and emits, for the first graph that is not on disk. Only `native` imports llvmlite, when code is
built.
"""
