"""What an installed minigrad can do with the extras that it has, outside of any checkout.

    python -I tools/installed.py wheel-or-sdist.whl draw plot

makes an environment for the package file with the extras named (none: the core alone), and uses it
in an empty folder: gradients, a file, a training step, the command line, and everything that each
extra brings. An extra that is not there has to be missed by name, with the command that installs
it. `nox -s packages` does so for the core and every extra.
"""

import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

__all__ = ["EXTRAS", "install_and_try", "main", "try_installed"]


def _core() -> None:
    import numpy as np

    import layers
    import minigrad as mg
    from minigrad import optim

    w = mg.Tensor(np.ones((3, 2)), requires_grad=True)
    x = np.arange(6.0).reshape(2, 3)
    np.tanh(x @ w).sum().backward()
    expected = x.T @ (1 - np.tanh(x @ np.ones((3, 2))) ** 2)
    assert w.grad is not None
    np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-12)
    mg.save("w.safetensors", {"w": w})
    np.testing.assert_array_equal(mg.load("w.safetensors")["w"], w.numpy())

    lstm = layers.LSTM(3, 4)
    adam = optim.Adam(lstm.parameters(), 1e-2)
    output, _ = lstm(np.ones((5, 2, 3), np.float32))  # (time, batch, units)
    (output * output).sum().backward()
    adam.step()
    step = mg.compile(lambda x: mg.tanh(x).sum())
    assert step(np.zeros(3)).item() == 0.0
    command = [sys.executable, "-I", "-m", "layers.cli", "--version"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _fast() -> None:
    import numpy as np

    import minigrad as mg
    from minigrad.compiled.backends import compiles_natively

    assert compiles_natively()
    square = mg.compile(lambda x: (x * x).sum())
    assert square(np.full(8, 3.0, np.float32)).item() == 72.0


def _draw() -> None:
    import minigrad as mg
    from minigrad.draw import draw

    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    draw(mg.tanh(x).sum()).save("graph.svg")
    assert Path("graph.svg").read_text(encoding="utf-8").count("<svg") == 1


def _plot() -> None:
    import numpy as np

    from minigrad.draw import plot_attention

    plot_attention(np.eye(2), ["a", "b"], ["a", "b"]).figure.savefig("attention.png")
    assert Path("attention.png").read_bytes().startswith(b"\x89PNG")


def _testing() -> None:
    import numpy as np

    from minigrad.testing import Input, property_test, register_profiles

    register_profiles()  # a slow machine is no failure
    property_test(np.tanh, Input(), reference=np.tanh)()


EXTRAS: dict[str, tuple[str, Callable[[], None]]] = {
    "draw": ("pygraphviz", _draw),
    "plot": ("matplotlib", _plot),
    "fast": ("llvmlite", _fast),
    "testing": ("hypothesis", _testing),
}
"""An extra, the package that it brings, and what that serves for."""


def try_installed(extras: list[str]) -> None:
    """Use the core and these extras, and see that each other one is missed by name.

    Raises:
        AssertionError: when something does not work as promised.
    """
    if "all" in extras:
        extras = list(EXTRAS)
    _core()
    for extra, (package, use) in EXTRAS.items():
        if extra in extras:
            use()
        elif extra != "fast":  # without llvmlite everything runs, slower
            said = _refusal(use)
            if package not in said or "pip install" not in said:
                raise AssertionError(f"{extra}, without {package}: {said or 'works'}")


def _refusal(use: Callable[[], None]) -> str:
    try:
        use()
    except ImportError as error:
        return str(error)
    return ""


def install_and_try(package: Path, extras: list[str]) -> None:
    """Install a wheel or an sdist alone into a new environment, and use it in an empty folder.

    Raises:
        subprocess.CalledProcessError: when the installation or the use fails; both print why.
    """
    with tempfile.TemporaryDirectory() as folder:
        venv.create(Path(folder, "venv"), with_pip=True)
        scripts = "Scripts" if sys.platform == "win32" else "bin"
        python = Path(folder, "venv", scripts, "python")
        wanted = f"{package.resolve()}[{','.join(extras)}]" if extras else str(package.resolve())
        subprocess.run([python, "-m", "pip", "install", "--quiet", wanted], check=True)
        work = Path(folder, "work")
        work.mkdir()
        used = [str(python), "-I", "-W", "error", str(Path(__file__).resolve()), *extras]
        subprocess.run(used, check=True, cwd=work)


def main(arguments: list[str]) -> None:
    """With a package file first: install it and try it; else try what is installed."""
    if arguments and Path(arguments[0]).is_file():
        package, *extras = arguments
        install_and_try(Path(package), extras)
        print(f"{Path(package).name} [{', '.join(extras) or 'core'}]: works")
    else:
        try_installed(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
