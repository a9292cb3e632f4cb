"""Tests that cannot hold with every call compiled, and why: see `tests/compiled_suite.py`.

They look at what a compiled call need not have; their calls run as they always do. Values,
gradients, errors, random numbers and buffers are no such thing: a test of these is not listed.
"""

LINES = "the line of the test stands in a message: here it is that of the plugin"
"""The one reason for which a test fails even uncompiled: it is called through the plugin."""

EXCEPTIONS = {
    "the names, the number or the places of the nodes on the tape: a compiled call is one node": [
        "tests/minigrad/ops/test_products.py::test_multi_dot_takes_the_cheapest_order",
        "tests/layers/test_cell_kernels.py::test_layers_name_a_kernel_which_is_optional",
        "tests/layers/test_recurrent_options.py::test_which_calls_the_kernels_know",
        "tests/minigrad/test_graphs.py::test_summary_by_scope_and_as_text",
    ],
    "a kernel is recorded: a call that is refused is traced, without kernels, the first time": [
        "tests/minigrad/ops/test_cross_entropies.py::test_cross_entropy_of_classes",
    ],
    "results share memory with arguments: those of a program are new arrays": [
        "tests/minigrad/ops/test_shape.py::test_views_do_not_copy",
    ],
    "what a node saved: a compiled call keeps its arguments for its reference": [
        "tests/minigrad/test_inplace.py::test_what_saved_nothing_of_the_leaf_runs_on",
        "tests/minigrad/test_graphs.py::test_each_arrays_memory_counts_once_and_views_count_in_full",
        "tests/minigrad/test_graphs.py::test_the_structure_survives_the_backward",
        "tests/minigrad/test_checkpoints.py::test_memory_grows_with_the_square_root_of_the_length",
    ],
    "all is freed without the garbage collector: a trace holds circles, once for each program": [
        "tests/minigrad/test_tape.py::test_graphs_are_freed_by_reference_count_alone",
        "tests/minigrad/test_tape.py::test_transforms_leave_nothing_behind",
    ],
    "the test compiles a function itself: what calls the plugin makes are no part of a trace": [
        "tests/minigrad/ops/test_attention_reference.py::test_compiled_it_is_what_the_kernel",
        "tests/layers/test_compiled_",
        "tests/minigrad/compiled/",
    ],
    "a warning that Python code gives: it comes with the trace, and not with the program": [
        "tests/minigrad/ops/test_samples.py::test_covariance_without_degrees_of_freedom_warns",
    ],
    "the derivative is a loop of 70,000 steps, whose trace takes a minute": [
        "tests/minigrad/ops/test_half_counts.py::test_float16_agrees_with_float64[avg_pool1d",
    ],
    LINES: [
        "tests/minigrad/test_anomaly.py::test_planted_log_of_zero_is_named_with_layer_step_and_line",
        "tests/minigrad/test_anomaly.py::test_marks_survive_the_backward",
        "tests/minigrad/test_anomaly.py::test_finite_inputs_gave_others",
        "tests/minigrad/test_anomaly.py::test_bad_numbers_that_enter_are_reported_with_their_argument",
        "tests/minigrad/test_anomaly.py::test_backward_names_the_operation_and_its_line",
        "tests/minigrad/test_anomaly.py::test_backward_of_a_kernel_is_explained_by_its_reference",
        *(
            f"tests/minigrad/test_anomaly.py::test_a_branch_that_where_did_not_take_is_recognised[{case}"
            for case in ("where", "further", "inside", "one-sided", "select")
        ),
        "tests/minigrad/test_anomaly.py::test_elements_that_an_index_leaves_out_are_recognised",
        "tests/minigrad/test_anomaly.py::test_an_infinite_slope_that_counts_keeps_its_advice",
    ],
    "equal bits, where sums are taken in another order": [
        "tests/layers/test_normalization.py::test_without_tracking_evaluation_uses_the_batch",
        "tests/minigrad/test_anomaly.py::test_training_step_gives_the_same_with_and_without",
        "tests/minigrad/test_replay.py::test_repeats_the_recorded_values_and_computes_with_others",
        "tests/minigrad/test_replay.py::test_recorded_derivatives_are_replayed",
        "tests/minigrad/test_replay.py::test_lstm",
        "tests/minigrad/ops/test_attention.py::test_attention_with_bias",
    ],
    "the memory of a kernel: a first call runs its reference": [
        "tests/minigrad/ops/test_attention.py::test_4096_places_take_little_memory",
        "tests/minigrad/ops/test_attention.py::test_memory_stays_linear_with_every_option",
        "tests/minigrad/ops/test_attention.py::test_blocks_are_the_default_where",
    ],
}
"""By the reason: beginnings of the names of tests."""


def reason_of(test):
    """Why a test need not hold, or None."""
    for reason, beginnings in EXCEPTIONS.items():
        if test.startswith(tuple(beginnings)):
            return reason
    return None
