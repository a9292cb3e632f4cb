"""Tests that cannot hold with every call compiled, and why: see `tests/compiled_suite.py`.

They look at what a compiled call need not have; their calls run as they always do. Values,
gradients, errors, random numbers and buffers are no such thing: a test of these is not listed.
"""

LINES = "the line of the test stands in a message: here it is that of the plugin"
"""The one reason for which a test fails even uncompiled: it is called through the plugin."""

EXCEPTIONS = {
    "the names, the number or the places of the nodes on the tape: a compiled call is one node": [
        "tests/minigrad/ops/test_products.py::test_multi_dot_takes_the_cheapest_order",
        "tests/layers/test_module.py::test_scopes_name_modules_and_number_repeated_calls",
        "tests/layers/test_module.py::test_a_module_called_once_has_no_time_step",
        "tests/layers/test_activations.py::test_graphs_show_the_module",
        "tests/layers/test_cli_saved_pictures.py::test_every_kind_of_saved_model_is_drawn",
        "tests/minigrad/profiling/test_blocks.py::test_backward_outside_of_the_block_is_not_seen",
        "tests/minigrad/profiling/test_memory.py::test_gradients_count_where_they_are_sent_from",
        "tests/minigrad/draw/test_levels.py::test_a_stack_of_layers_is_folded_and_keeps_its_totals",
        "tests/minigrad/draw/test_levels.py::test_auto_takes_what_can_be_read_on_a_screen",
        "tests/minigrad/draw/test_levels.py::test_depth_opens_so_many_levels",
        "tests/minigrad/draw/test_levels.py::test_focus_shows_a_module_and_its_surroundings",
        "tests/minigrad/draw/test_levels.py::test_one_box_per_module_call_and_the_sums_where_ways_meet",
        "tests/minigrad/draw/test_opening.py::test_a_freed_kernel_stays_closed_and_a_written_leaf_is_refused",
        "tests/minigrad/draw/test_opening.py::test_every_kernel_of_a_transformer_layer_is_opened",
        "tests/minigrad/draw/test_plots.py::test_a_transformer_beside_recurrent_networks",
        "tests/minigrad/draw/test_recurrence.py::test_two_cells_by_hand_are_two_and_one_beside_a_library_cell_is_found",
        "tests/minigrad/draw/test_sequences.py::test_a_detached_state_with_steps_stays_one_lane_and_is_told",
        "tests/minigrad/draw/test_sequences.py::test_two_layers_of_one_name_are_two",
        "tests/minigrad/draw/test_targets.py::test_results_in_a_dict_have_their_keys",
        "tests/minigrad/draw/test_views.py::test_parameters_of_a_call_at_their_default_are_left_out",
        "tests/minigrad/draw/test_faults.py::test_what_cannot_be_known_is_said",
        "tests/layers/test_cell_pictures.py::test_steps_states_routes_and_gates_are_in_the_graph",
        "tests/layers/test_gpt.py::test_a_picture_shows_each_step_of_attention_written_out",
        "tests/layers/test_containers.py::test_calls_have_scopes_named_by_their_places",
        "tests/layers/test_containers.py::test_scopes_follow_a_list_that_is_filled_later",
        "tests/layers/test_containers.py::test_lists_are_lists",
        "tests/layers/test_containers.py::test_slices_share_their_modules_and_leave_names_alone",
        "tests/layers/test_scan.py::test_steps_states_and_routes_are_in_the_graph",
        "tests/layers/test_scan.py::test_declared_routes_name_scopes_of_the_cell",
        "tests/layers/test_scan.py::test_a_cell_of_ones_own",
        "tests/layers/test_cell_kernels.py::test_layers_name_a_kernel_which_is_optional",
        "tests/layers/test_recurrent_options.py::test_which_calls_the_kernels_know",
        "tests/minigrad/test_graphs.py::test_summary_by_scope_and_as_text",
        "tests/minigrad/test_observed_passes.py::test_an_observer_may_see_the_operations_of_rules",
        "tests/minigrad/test_graphs.py::test_a_summary_tells_two_modules_of_one_name_apart",
        *(
            f"tests/docs/test_pages.py::test_every_snippet_of_the_page_runs_as_it_stands[{page}"
            for page in ("docs/explanation/engine.md", "minigrad/core/README.md")
        ),
        "tests/docs/test_gallery.py::test_the_committed_pictures_are_those_that_the_command_makes",
    ],
    "the seconds that a lesson may take: here every call is traced": [
        "tests/docs/test_lessons.py::test_the_lesson_and_its_solutions_run",
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
        "tests/minigrad/draw/test_measured_times.py::test_a_compiled_call_is_one_box_with_its_time",
        "tests/layers/test_sequence_programs.py",
        "tests/layers/test_sequence_batches.py",
        "tests/layers/test_steps_beyond.py",
        "tests/layers/test_steps.py",
        "tests/minigrad/test_observed_passes.py::test_a_pass_within_a_function_that_is_traced",
        "tests/minigrad/compiled/",
    ],
    "a warning that Python code gives: it comes with the trace, and not with the program": [
        "tests/minigrad/ops/test_samples.py::test_covariance_without_degrees_of_freedom_warns",
    ],
    "the derivative is a loop of 70,000 steps, whose trace takes a minute": [
        "tests/minigrad/ops/test_half_counts.py::test_float16_agrees_with_float64[avg_pool1d",
    ],
    LINES: [
        "tests/docs/test_pages.py::test_every_snippet_of_the_page_runs_as_it_stands[docs/guides/debug",
        *(
            f"tests/layers/test_renamed.py::test_arguments_go_by_their_old_names_too[{model}.forward"
            for model in ("GPT", "CharacterModel", "DALLE")
        ),
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
        "tests/minigrad/draw/test_films.py::test_a_frame_is_what_is_measured_on_the_same_graph[LSTM-options1]",
        "tests/minigrad/draw/test_opening.py::test_rounding_is_no_disagreement",
        "tests/minigrad/test_replay_programs.py::test_random_programs",
        "tests/minigrad/ops/test_attention.py::test_attention_with_bias",
    ],
    "the memory of a kernel: a first call runs its reference": [
        "tests/minigrad/ops/test_attention.py::test_4096_places_take_little_memory",
        "tests/minigrad/ops/test_attention.py::test_memory_stays_linear_with_every_option",
        "tests/minigrad/ops/test_attention.py::test_blocks_are_the_default_where",
        "tests/layers/test_systems.py::test_systems_reach_all_their_bars[attention-cost",
        "tests/layers/test_systems.py::test_plain_attention_holds_the_weights",
        "tests/layers/test_systems.py::test_what_is_held_does_not_depend_on_other_threads",
    ],
}
"""By the reason: beginnings of the names of tests."""


def reason_of(test):
    """Why a test need not hold, or None."""
    for reason, beginnings in EXCEPTIONS.items():
        if test.startswith(tuple(beginnings)):
            return reason
    return None
