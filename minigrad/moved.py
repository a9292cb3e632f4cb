"""Dotted paths of earlier versions: they go on working for this version, with a warning.

Modules moved into folders; the public names of `minigrad` and `layers` did not.
"""

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

__all__ = ["MOVED", "names_from", "renamed", "submodules_of"]

# From one package to another: the modules, and old=new for those that have another name now.
_MOVES: Final = """
layers             layers.base                      containers init inputs interop model_summary module module_state module_text parameter
layers             layers.basic                     activations batch_normalization convolution dropout embedding flatten linear losses margin_losses normalization pooling
layers             layers.cells                     recurrent_checks=cell_checks steps
layers             layers.cli                       cli_arguments=arguments cli_data=data cli_draw=draw cli_flow=flow cli_results=runs cli_runs=runs cli_sample=sample cli_saved=saved cli_series=series cli_sources=sources cli_systems=systems cli_train=train terminal
layers             layers.examples                  demo pictures showcase
layers             layers.recurrent                 packed recurrent_base=base
layers             layers.training                  plots
layers             layers.transformer               attention attention_arguments caches heads positional transformer_layers
layers.datasets    layers.datasets.columns          numerals series_columns tables time_labels time_layouts time_names time_parts
layers.models      layers.models.generation         beams choosing decoding stopping targets writing
minigrad           minigrad.core                    conversion errors mode=modes nodes signatures=tensors tape=backward tensors
minigrad           minigrad.debug                   anomaly_advice calls counting=flops graphs=graph_view replaying=replay scopes state_labels=labels watching=anomaly
minigrad           minigrad.io                      resuming=checkpoint_files
minigrad           minigrad.numpy_api               call_sites copying detach_advice=conversion_advice detaching inplace operators protocols refusals=unsupported sampling_advice scipy_ufuncs ufunc_methods
minigrad           minigrad.ops                     containers=pytree explaining kernels=fusing operations=primitives parts primitives randomness
minigrad           minigrad.transforms              checkpoints=rematerialize custom=custom_rules draws=recorded_draws generator_search jacobians runs=traces writes=recorded_writes
minigrad.draw      minigrad.draw.analysis           box_flows=box_edges connectivity detours=gradient_routes evidence flow gates jacobians lanes starving=zero_gradients time_measure weight_lags xray=faults
minigrad.draw      minigrad.draw.graph              codec errors interaction passes records rolling
minigrad.draw      minigrad.draw.pages              html page_data page_measures page_static
minigrad.draw      minigrad.draw.plots              plot_axes plot_maps
minigrad.draw      minigrad.draw.reading            agreement call_of measure meter=edge_sums opening recorded_data recurrence sequences tape_states targets time_axes walk=backward_passes
minigrad.draw      minigrad.draw.render             bands cells dot grid large=tiled_boxes layout patience=progress_note render_child routes=edge_curves text tiles
minigrad.draw      minigrad.draw.style              escape labels legend scale theme
minigrad.draw      minigrad.draw.views              cells_view diagnosis layers_view operations_view
minigrad.ops       minigrad.ops                     shapes=axis_utils
minigrad.ops       minigrad.ops.elementwise         exponential gamma gamma_constants inverse_special piecewise predicates special trigonometric
minigrad.ops       minigrad.ops.linalg              contractions decompositions determinants distances equal_values matrix_norms norms p_norms products spectra
minigrad.ops       minigrad.ops.manipulation        assembling indexing joining places=index_places repeating selecting shape=reshaping sorting triangles
minigrad.ops       minigrad.ops.nn                  activations attention attention_blockwise attention_plain class_targets cross_entropies gated likelihoods loss_parts losses margins neural normalization pooling
minigrad.ops       minigrad.ops.reduction           accumulating cumulative log_products nans quantiles scattering statistics
minigrad.ops       minigrad.ops.signal              convolution padding samples spatial
minigrad.testing   minigrad.testing                 factory=property_tests machines=state_machine naive=hyperdual slopes=finite_differences
minigrad.testing   minigrad.testing.tables          array_table elementwise_table matrix_table parameters specifications
"""  # noqa: E501


# Of modules that were split: where else their names are now.
_ELSEWHERE: Final = {
    "layers.plots": ("layers.training.loss_plots",),
    "layers.recurrent_base": ("layers.recurrent.arguments", "layers.recurrent.layers"),
    "layers.recurrent_checks": ("minigrad.ops.checks",),
    "minigrad.draw.recurrence": ("minigrad.draw.reading.named_states",),
    "minigrad.errors": ("minigrad.io.packages", "minigrad.ops.checks"),
    "minigrad.mode": (
        "minigrad.core.blocks",
        "minigrad.ops.default_dtypes",
        "minigrad.debug.anomaly",
        "minigrad.debug.calls",
        "minigrad.debug.labels",
    ),
    "minigrad.nodes": (
        "minigrad.core.contributions",
        "minigrad.debug.extras",
        "minigrad.ops.pruning",
    ),
    "minigrad.ops.activations": ("minigrad.ops.reduction.softmaxes",),
    "minigrad.scopes": ("minigrad.core.nodes",),
    "minigrad.signatures": ("minigrad.ops.axis_utils",),
    "minigrad.tape": ("minigrad.ops.pruning",),
}


def _table() -> dict[str, str]:
    moved = {}
    for line in _MOVES.strip().splitlines():
        before, now, *names = line.split()
        for name in names:
            old, _, new = name.partition("=")
            moved[f"{before}.{old}"] = f"{now}.{new or old}"
    return moved


MOVED: Final = _table()
"""The path of a module now, by its path in earlier versions."""


class _Finder:
    """Finds a module under its old path: the very module, under its new one.

    It is both finder and loader. The abstract classes for them would slow the import of minigrad.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        loader: Any = self
        return ModuleSpec(name, loader) if name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python: the module that it makes is replaced."""

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        warnings.warn(
            f"{name} is {MOVED[name]} now; the old path goes with the next version. Public names "
            "are best imported from minigrad, minigrad.draw or layers themselves.",
            DeprecationWarning,
            stacklevel=2,
        )
        if name not in _ELSEWHERE:
            sys.modules[name] = importlib.import_module(MOVED[name])
            return
        places = [importlib.import_module(p) for p in (MOVED[name], *_ELSEWHERE[name])]
        for place in reversed(places):
            public = {n: v for n, v in vars(place).items() if not n.startswith("__")}
            vars(module).update(public)


def names_from(package: str, module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package that has the name which one of its modules had before."""

    def attribute(name: str) -> Any:
        # Asking for one of the import system's own names must not import anything.
        here = None if name.startswith("__") else importlib.import_module(module)
        if here is None or not hasattr(here, name):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        warnings.warn(f"{package}.{name} is {module}.{name} now", DeprecationWarning, stacklevel=2)
        return getattr(here, name)

    return attribute


def submodules_of(package: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose modules are attributes of it, imported when asked for.

    So `minigrad.draw` and `minigrad.optim` are there after `import minigrad`.
    """

    def submodule(name: str) -> Any:
        old = f"{package}.{name}"
        if old in MOVED:
            warnings.warn(f"{old} is {MOVED[old]} now", DeprecationWarning, stacklevel=2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                return importlib.import_module(old)
        try:
            return importlib.import_module(f"{package}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{package}.{name}":
                raise
            raise AttributeError(f"module {package!r} has no attribute {name!r}") from None

    return submodule


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a module some of whose public names have other names now.

    Args:
        module: its path.
        names: by the old name, the one that it has now.
    """

    def attribute(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(
            f"{module}.{name} is {module}.{names[name]} now; the old name goes with the next "
            "version.",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(sys.modules[module], names[name])

    return attribute


if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
    sys.meta_path.append(_Finder())
