# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Mutations of the package, and the tests that notice each of them."""
from typing import List, NamedTuple, Tuple


class Mutation(NamedTuple):
    """One change of the code that must not go unnoticed.

    Attributes:
        name (str): Its name.
        file (str): The file, from the root of the checkout.
        old (str): A text that occurs exactly once in it.
        new (str): What replaces that text.
        tests (tuple[str]): Node ids of the tests of which one must fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: Tuple[str, ...]


MUTATIONS: List[Mutation] = []


def _add(name: str, file: str, old: str, new: str, *tests: str) -> None:
    paths = tuple(f'tests/{test}' for test in tests)
    MUTATIONS.append(Mutation(name, file, old, new, paths))


# Classes of the data ------------------------------------------------------

_add('classes_in_the_order_of_the_file',
     'mmdgkd/models/utils/class_numbers.py', 'index = torch.tensor(classes)',
     'index = torch.tensor(sorted(classes))',
     'chain/test_teacher_classes.py::test_the_classes_in_its_file_are_picked')
_add(
    'a_network_by_name_keeps_its_own_number', 'mmdgkd/chain/model_names.py',
    "None if key == 'num_classes' else", '', 'chain/test_model_names.py::'
    'test_a_name_gives_a_classifier_of_the_datas_classes')

# Teachers are frozen functions --------------------------------------------

_FROZEN = 'mmdgkd/models/teachers/frozen_teachers.py'
_DGKD = 'mmdgkd/models/algorithms/dgkd.py'
_add(
    'teachers_in_train_mode', _FROZEN,
    'if teacher.training:  # set by other code\n'
    '                    teacher.eval()', 'teacher.train()',
    'models/algorithms/test_dgkd.py::'
    'test_teachers_stay_in_eval_mode_as_a_whole')
_add(
    'teachers_with_gradients', _FROZEN,
    'in teachers.items():\n            teacher.requires_grad_(False).eval()',
    'in teachers.items():\n            teacher.eval()',
    'models/algorithms/test_dgkd.py::'
    'test_teachers_have_no_gradient_no_graph_and_never_change')
_add(
    'teachers_in_state_dict', _DGKD, '        self._clock = StepClock()\n',
    '        self._clock = StepClock()\n'
    '        self.held = nn.ModuleDict(networks)\n',
    'models/algorithms/test_dgkd.py::test_teachers_are_no_part_of_the_model')
_add(
    'teachers_run_for_their_losses', _FROZEN,
    "teacher(inputs, *others, mode='tensor')",
    "teacher(inputs, *others, mode='loss')", 'models/algorithms/test_dgkd.py'
    '::test_teachers_run_in_tensor_mode_and_not_through_their_losses')
_add('dropped_teachers_run', _DGKD, 'missing, timing = names, None',
     'missing, timing = list(self.teachers), None',
     'models/algorithms/test_dgkd.py::test_a_dropped_teacher_does_not_run')
_add(
    'teachers_in_order_of_config', _DGKD,
    'for name, cfg in sorted(teachers.items())',
    'for name, cfg in teachers.items()', 'models/algorithms/test_dgkd.py::'
    'test_the_order_of_the_teachers_makes_no_difference')
_add(
    'fold_bn_not_checked', _FROZEN, 'self._check_folded(name, inputs)\n',
    'pass\n', 'models/teachers/test_frozen_teachers.py::'
    'test_a_teacher_that_cannot_be_folded_is_noticed')
_add(
    'fold_bn_checked_in_float32', _FROZEN,
    'dtype, bound = torch.float64, 1e-6', 'dtype, bound = torch.float32, 1e-3',
    'models/teachers/test_frozen_teachers.py::'
    'test_folding_is_checked_on_devices_of_low_precision')
_add(
    'fold_bn_checked_loosely', _FROZEN, 'dtype, bound = torch.float64, 1e-6',
    'dtype, bound = torch.float64, 10.',
    'models/teachers/test_frozen_teachers.py::'
    'test_a_teacher_that_cannot_be_folded_is_noticed')
_add(
    'precision_of_the_student', 'mmdgkd/models/teachers/teacher_options.py',
    'if self.precision is None:\n            return contextlib',
    'if True:\n            return contextlib',
    'models/teachers/test_frozen_teachers.py::'
    'test_the_precision_is_their_own')

# Counter-based randomness -------------------------------------------------

_MASK = 'mmdgkd/models/connectors/keep_mask.py'
_RANDOM = 'mmdgkd/utils/random.py'
_DRAW = 'uniforms(seed, _STREAM, step, len(teachers))'
_add('mask_without_step', _MASK, _DRAW,
     'uniforms(seed, _STREAM, 0, len(teachers))',
     'models/connectors/test_keep_mask.py::test_a_function_of_seed_and_step')
_add('mask_without_seed', _MASK, _DRAW,
     'uniforms(0, _STREAM, step, len(teachers))',
     'models/connectors/test_keep_mask.py::test_a_function_of_seed_and_step')
_add(
    'mask_per_rank', 'mmdgkd/models/connectors/stochastic_drop_connector.py',
    'keep_mask(self._clock.seed, step, names',
    'keep_mask(self._clock.seed + self._clock.rank, step, names',
    'models/connectors/test_stochastic_drop_connector.py::'
    'test_every_rank_drops_the_same')
_add(
    'mask_by_calls_not_iterations', 'mmdgkd/models/utils/step_clock.py',
    "if hub.get_info('loop_stage') == 'train':", 'if False:',
    'models/utils/test_step_clock.py::'
    'test_in_a_training_it_is_that_of_the_runner')
_add(
    'min_keep_ignored', _MASK,
    'num_keep = max(num_keep, min(min_keep - fixed, len(order)))', 'pass',
    'models/connectors/test_keep_mask.py::'
    'test_bernoulli_fills_up_to_min_keep')
_add(
    'protect_ignored', _MASK, 'name in active or name in protect',
    'name in active', 'models/connectors/test_keep_mask.py::'
    'test_the_protected_are_always_active')
_add(
    'views_without_epoch', _RANDOM, "_hashed(b'view', seed, view, index)",
    "_hashed(b'view', seed, 0, index)", 'datasets/test_view_dataset.py::'
    'test_different_across_epochs_samples_and_seeds')
_add(
    'views_without_index', _RANDOM, "_hashed(b'view', seed, view, index)",
    "_hashed(b'view', seed, view, 0)", 'datasets/test_view_dataset.py::'
    'test_different_across_epochs_samples_and_seeds')
_add(
    'epoch_lost_in_sampler', 'mmdgkd/datasets/view_sampler.py',
    'yield self.epoch, index', 'yield 0, index',
    'datasets/test_view_sampler.py::'
    'test_indices_are_those_of_the_inner_sampler')
_add(
    'dropout_not_seeded', 'mmdgkd/engine/hooks/resume_hooks.py',
    'seed_all(step_seed(runner.seed, runner.iter, runner.rank), device=True)',
    'pass', 'engine/hooks/test_resume_hooks.py::'
    'test_draws_depend_on_seed_step_and_rank_alone')
_add(
    'generators_not_restored', 'mmdgkd/datasets/view_dataset.py',
    '        with aside():\n            return self._views([(self.view_of(',
    '        if True:\n            return self._views([(self.view_of(',
    'datasets/test_view_dataset.py::'
    'test_the_generators_of_the_process_are_left_alone')

_add(
    'generators_of_transforms_not_seeded', 'mmdgkd/datasets/view_dataset.py',
    'seed_generators(self._generators[1], seed)', 'pass',
    'datasets/test_view_dataset.py::'
    'test_generators_of_transforms_are_seeded')
_add(
    'changed_files_not_noticed', 'mmdgkd/datasets/identity.py',
    "mark = f'{state.st_size} {state.st_mtime_ns}'", "mark = ''",
    'datasets/test_view_dataset.py::'
    'test_files_that_change_under_their_names')

_MIXING = 'mmdgkd/datasets/mixing.py'
_add(
    'another_beta', _MIXING, 'np.random.beta(augment.alpha, augment.alpha)',
    'np.random.beta(augment.alpha, 2 * augment.alpha)',
    'datasets/test_mixing.py::'
    'test_the_ratio_has_the_beta_distribution_of_alpha')
_add('partners_without_view', 'mmdgkd/utils/random.py',
     "_hashed(b'partners', seed, view, 0)", "_hashed(b'partners', seed, 0, 0)",
     'datasets/test_mixing.py::test_the_partner_is_any_other_sample')
_add('key_without_the_mix', 'mmdgkd/datasets/view_dataset.py',
     "facts['mix'] = {**self.mixing.facts, **self.split.facts}", 'pass',
     'datasets/test_mixing.py::test_the_key_has_the_recipe')
_add('partners_apart', 'mmdgkd/datasets/view_sampler.py',
     'lead = np.minimum(place, place[partners])', 'lead = place.copy()',
     'datasets/test_view_sampler.py::test_partners_follow_each_other')
_add(
    'mixed_twice', 'mmdgkd/chain/stage_views.py', 'owner.pop(key)',
    'owner[key]', 'chain/test_mixed_views_in_chains.py::'
    'test_augments_are_taken_over_into_the_views')

# Files ---------------------------------------------------------------------

_FILES = 'mmdgkd/fileio/files.py'
_CHECKPOINT = 'mmdgkd/fileio/checkpoint.py'
_SYNCED = 'fileio/test_files.py::test_it_is_synced_before_it_is_renamed'
_add('no_fsync', _FILES, '            os.fsync(file.fileno())\n', '', _SYNCED)
_add('no_fsync_of_folder', _FILES, '        _sync_folder(folder)\n', '',
     _SYNCED)
_add('no_rename', _FILES, 'os.replace(beside, path)',
     "open(path, 'wb').write(open(beside, 'rb').read())", _SYNCED)
_add('checksum_not_compared', _CHECKPOINT, 'if intact is False:', 'if False:',
     'fileio/test_checkpoint.py::test_a_damaged_file')
_add('any_checksum_accepted', 'mmdgkd/fileio/checksum.py',
     'return digest.hexdigest().encode() == comment[len(_MARK):]',
     'return True',
     'fileio/test_checksum.py::test_every_flipped_bit_is_noticed')
_add('not_weights_only', _CHECKPOINT, 'weights_only=True, **kwargs)',
     'weights_only=False, **kwargs)',
     'fileio/test_checkpoint.py::test_nothing_in_a_checkpoint_is_executed')
_add(
    'downloads_not_weights_only', _CHECKPOINT, 'if get_local_rank() == 0:\n'
    '        checkpoint = load_state_dict_from_url(\n'
    '            filename, map_location=map_location, weights_only=True)',
    'if get_local_rank() == 0:\n'
    '        checkpoint = load_state_dict_from_url(\n'
    '            filename, map_location=map_location, weights_only=False)',
    'fileio/test_checkpoint.py::test_a_downloaded_checkpoint_is_data_too')
_add(
    'config_of_checkpoint_executed', 'mmdgkd/engine/hooks/resume_hooks.py',
    "checkpoint['meta'].pop('config', None)", 'pass',
    'engine/hooks/test_resume_hooks.py::'
    'test_the_config_in_a_checkpoint_is_not_executed')
_add(
    'damaged_checkpoint_resumed', 'mmdgkd/fileio/stage_checkpoints.py',
    'return intact is False or (intact is None and not zipfile.is_zipfile('
    'path))', 'return False', 'fileio/test_stage_checkpoints.py::'
    'test_what_a_power_failure_leaves_is_skipped')
_add('full_disk_is_a_traceback', _FILES, 'if error.errno not in _NO_ROOM:',
     'if True:', 'fileio/test_files.py::test_no_room_is_one_line')

# Checks before a training --------------------------------------------------

_CHAIN_CHECK = 'mmdgkd/chain/preflight/chain_check.py'
_WORK_DIR = 'mmdgkd/chain/work_dir.py'
_CHANGED = 'mmdgkd/chain/changed_stage.py'
_BAD_INPUT = 'chain/preflight/test_bad_input.py::'
_RUNNER = 'chain/test_runner.py::'
_INPUTS = 'chain/test_inputs_in_chains.py::'
_add('other_classes_of_teacher', _CHAIN_CHECK,
     '    _check_same_classes(chain, facts)\n', '',
     f'{_BAD_INPUT}test_networks_with_different_classes')
_REHEARSAL = 'chain/preflight/test_rehearsal.py::'
_add('no_rehearsal', 'mmdgkd/chain/runner.py',
     '        if todo and self.chain.preflight:\n', '        if False:\n',
     f'{_REHEARSAL}test_what_is_found')
_add('rehearsal_without_the_smallest_batch',
     'mmdgkd/chain/preflight/few_batches.py',
     '        batch, last = size, len(sampler) % size\n',
     '        batch, last = size, 0\n',
     f'{_REHEARSAL}test_the_smallest_batch_of_an_epoch_is_tried')
_add('rehearsal_builds_data_again', 'mmdgkd/chain/preflight/data_check.py',
     '    if text not in known:\n', '    if True:\n',
     f'{_REHEARSAL}test_a_data_set_is_built_once')
_add('monitors_not_checked', 'mmdgkd/chain/preflight/rehearsal_hooks.py',
     '            if monitor is not None and monitor not in metrics:\n',
     '            if False:\n', f'{_REHEARSAL}test_what_is_found')
_add(
    'input_not_in_the_key', 'mmdgkd/models/teachers/cached_teachers.py',
    '    if input_cfg:\n', '    if False:\n',
    'models/teachers/test_cached_teachers.py::'
    'test_facts_change_with_the_weights_and_the_config')
_add('schedules_not_looked_at', 'mmdgkd/chain/schedules.py',
     '            if None not in (length, needed) and needed > length:\n',
     '            if False:\n',
     'chain/test_schedules.py::test_what_does_not_get_to_its_end')
_add('other_classes_of_data', _CHAIN_CHECK,
     '        _check_classes(network, facts.classes, data.classes)\n', '',
     f'{_BAD_INPUT}test_other_classes_than_the_data')
_add('other_sizes_of_teacher', _CHAIN_CHECK,
     '    _check_same_sizes(chain, facts)\n', '',
     f'{_INPUTS}test_another_size_is_to_be_chosen')
_add('other_normalization_of_teacher', 'mmdgkd/chain/stage_config.py',
     '            **_input(model, chain[teacher], cfg))\n', ')\n',
     f'{_INPUTS}test_by_default_the_normalization_is_its_own')
_add('shapes_of_ckpt_not_checked', 'mmdgkd/models/utils/weights.py',
     '    if refusal is None:\n', '    if True:\n',
     'models/utils/test_weights.py::test_what_does_not_fit_is_named')
_add(
    'load_from_not_refused', _CHAIN_CHECK,
    '    refuse_load_from(cfg, chain)\n', '',
    'chain/preflight/test_pretrained.py::'
    'test_a_chain_loads_nothing_by_load_from')
_add('weights_that_load_nothing_pass', 'mmdgkd/chain/preflight/pretrained.py',
     '    if len(rest) == len(weights):\n', '    if False:\n',
     'chain/preflight/test_pretrained.py::test_load_from_that_loads_nothing')
_add('unknown_key_not_refused', 'mmdgkd/utils/config.py',
     '        if key not in known:\n', '        if False:\n',
     'chain/test_chain.py::test_what_makes_no_chain')
_add(
    'mixed_images_cached', 'mmdgkd/models/teachers/cached_teachers.py',
    "if getattr(self._data_preprocessor, 'batch_augments', None):",
    'if False:', 'models/teachers/test_cached_teachers.py::'
    'test_mixed_batches_are_refused_also_in_the_middle_of_a_training')
_add('work_dir_in_use', _WORK_DIR, 'if in_use and not resume and (',
     'if False and (', f'{_RUNNER}test_without_resume_nothing_is_trained_over')
_add('changed_stage_kept', _CHANGED,
     "if entry['config_sha256'] == fingerprint(stage):", 'if True:',
     f'{_RUNNER}test_a_changed_config_of_a_finished_stage_is_refused')
_add('changed_teacher_kept', _CHANGED,
     "if now['sha256'] != read['sha256'] or (", 'if False and (',
     f'{_RUNNER}test_a_changed_teacher_of_a_half_trained_stage_is_refused')
_add('changed_file_kept', _CHANGED,
     "if sha256_of(path) != entry['wrote']['sha256']:", 'if False:',
     f'{_RUNNER}test_a_changed_file_is_refused')
_add('no_lock', _WORK_DIR, 'fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)',
     'pass', f'{_RUNNER}test_a_second_run_is_kept_out')
_add('other_chain_kept', 'mmdgkd/chain/ledger.py', 'if held != chain.names:',
     'if False:', 'chain/test_ledger.py::test_other_networks_are_refused')

# Resuming ------------------------------------------------------------------

_HOOK = 'mmdgkd/engine/hooks/atomic_checkpoint_hook.py'
_LOOPS = 'engine/loops/test_resumable_loops.py::'
_CONTRACT = 'methods/test_contract.py::'
_SAME_BITS = f'{_CONTRACT}test_killed_and_resumed_it_ends_with_the_same_bits'
_add(
    'resume_without_optimizer', _HOOK, "meta = checkpoint.get('meta')\n",
    "meta = checkpoint.get('meta')\n"
    "        checkpoint.pop('optimizer', None)\n", f'{_SAME_BITS}[dgkd]')
_CHECK = 'mmdgkd/engine/hooks/resume_check_hook.py'
_RESUME = 'chain/test_resume.py::'
_add('resume_from_another_network', _CHECK,
     "        check_state(runner, checkpoint, path, self.key)\n", '',
     f'{_RESUME}test_a_checkpoint_of_another_network')
_add('resume_by_other_processes', _CHECK, 'if before is None:', 'if True:',
     f'{_RESUME}test_another_number_of_processes')
_add(
    'counters_of_any_kind', 'mmdgkd/fileio/stage_checkpoints.py',
    'isinstance(count, Integral) and', 'True and',
    'fileio/test_stage_checkpoints.py::'
    'test_what_is_no_checkpoint_of_a_training')
_add('given_file_not_looked_for', _WORK_DIR, '        self._check_given()\n',
     '', f'{_RESUME}test_a_given_file_that_is_not_here')
_add('resume_without_rank_state', _HOOK,
     "        restore_rank_state(runner, resumed['ranks'] or [])\n", '',
     'engine/hooks/test_stop_hook.py::test_gradients_that_wait_are_saved')
_add('resume_repeats_an_iteration',
     'mmdgkd/engine/loops/resumable_epoch_loop.py',
     'self._first = min(batches, length)',
     'self._first = max(min(batches, length) - 1, 0)',
     f'{_LOOPS}test_it_goes_on_where_it_stopped')
_add('resume_skips_a_batch', 'mmdgkd/engine/loops/position.py',
     'sampler.start_at(batches * size)',
     'sampler.start_at(batches * size + size)',
     f'{_LOOPS}test_it_goes_on_where_it_stopped')
_add('resumed_iterations_skip_a_batch',
     'mmdgkd/engine/loops/resumable_iter_loop.py',
     'epoch, batches = 0, self._done\n',
     'epoch, batches = 0, self._done + 1\n',
     f'{_LOOPS}test_it_goes_on_where_it_stopped')
_add('ledger_not_rewound', 'mmdgkd/chain/ledger.py',
     "metric.get('history', []) if point[0] <= step",
     "metric.get('history', [])",
     'chain/test_ledger.py::test_best_last_and_going_back')
_add('missing_validation_not_repeated', 'mmdgkd/chain/hooks/ledger_hook.py',
     'if step and not known and', 'if False and',
     f'{_RUNNER}test_a_resumed_stage_makes_up_for_the_validation')
_add('signal_ignored', 'mmdgkd/engine/hooks/stop_hook.py',
     'if self.signals.vote():', 'if False:',
     'engine/hooks/test_stop_hook.py::test_it_goes_on_to_the_same_bits')
_add(
    'old_checkpoint_removed_first', _HOOK, '        self._states = collect',
    '        self.last_ckpt and os.remove(self.last_ckpt)\n'
    '        self._states = collect',
    'engine/hooks/test_atomic_checkpoint_hook.py::'
    'test_the_old_one_is_deleted_when_the_new_one_is_written')

# The logit store -----------------------------------------------------------

_STORE = 'mmdgkd/logit_store/logit_store.py'
_TEACHER_VIEWS = 'mmdgkd/logit_store/teacher_views.py'
_LEFT_OUT = "if key not in ('name', 'path')\n"
_MISS = 'logit_store/test_logit_store.py::test_another_teacher_is_a_miss'
_add('rows_of_another_teacher', _STORE, _LEFT_OUT,
     "if key not in ('name', 'path', 'weights')\n", _MISS)
_add('rows_of_another_precision', _STORE, _LEFT_OUT,
     "if key not in ('name', 'path', 'precision')\n", _MISS)
_add('rows_of_other_views', _STORE, 'views=views.source.key', 'views=None',
     'logit_store/test_logit_store.py::test_other_views_and_forms_are_misses')
_add(
    'weights_left_out_of_facts', 'mmdgkd/models/utils/weights.py',
    '        digest.update(data.view(torch.uint8).numpy())\n', '',
    'models/teachers/test_cached_teachers.py::'
    'test_facts_change_with_the_weights_and_the_config')
_add('damaged_file_accepted', 'mmdgkd/fileio/checked_names.py',
     'if found is None or found[1] != _digest_of(data):', 'if False:',
     'fileio/test_object_folder.py::test_a_damaged_file_is_noticed')
_add(
    'last_of_a_disk_taken', 'mmdgkd/fileio/disk_files.py',
    'len(data) + reserve', 'len(data)', 'logit_store/test_logit_store.py::'
    'test_the_last_of_a_disk_is_for_the_checkpoints')
_add(
    'file_of_other_facts_accepted', _TEACHER_VIEWS,
    "piece.header['depends_on'] == self._facts", 'True',
    'logit_store/test_logit_store.py::'
    'test_a_file_in_anothers_place_does_not_count')
_add(
    'old_view_read_ahead', _TEACHER_VIEWS,
    '(ahead.view, ahead.names) != (number, names)', 'ahead.view != number',
    'logit_store/test_logit_store.py::'
    'test_what_has_been_added_since_it_was_read_ahead')
_add('files_removed_that_were_not_merged', _TEACHER_VIEWS,
     'merged([*pieces.values()]))}', 'merged([*pieces.values()][:1]))}',
     'logit_store/test_logit_store.py::test_files_of_a_view_become_one')
_add(
    'incomplete_view_kept', 'mmdgkd/logit_store/view.py',
    'self._missed = True', 'pass', 'logit_store/test_logit_store.py::'
    'test_a_view_in_which_nothing_is_missing_is_kept')
_add(
    'foreign_files_removed', 'mmdgkd/fileio/remote_files.py',
    'entry.is_file() and is_checked(entry.name)', 'entry.is_file()',
    'fileio/test_object_folder.py::'
    'test_other_files_in_the_folder_of_copies_stay')
_STORE_HOOK = 'mmdgkd/logit_store/logit_store_hook.py'
_STORE_HOOK_TESTS = 'logit_store/test_logit_store_hook.py::'
_add(
    'rows_wait_at_a_checkpoint', _STORE_HOOK, """on all ranks.\"\"\"
        self.store.flush()""", """on all ranks.\"\"\"
        pass""",
    f'{_STORE_HOOK_TESTS}test_a_checkpoint_in_the_middle_has_the_rows_of_both')
_add('rows_of_a_pass_wait', _STORE_HOOK, 'if self._pass and (',
     'if False and (',
     f'{_STORE_HOOK_TESTS}test_passes_over_one_view_by_iterations')
_add('trained_with_unrounded', _STORE, 'kept = form.decode(rows)',
     'kept = logits.float()',
     'logit_store/test_logit_store.py::test_what_is_kept_is_found')
_add('infinite_rows_cached', _STORE, 'torch.isfinite(logits).all(1)',
     'torch.ones(len(logits)).bool()',
     'logit_store/test_logit_store.py::test_what_is_not_finite_is_not_cached')

# Repairs of MMRazor and MMEngine -------------------------------------------

_MMENGINE = 'mmdgkd/compat/mmengine_repairs.py'
_MMRAZOR = 'mmdgkd/compat/mmrazor_repairs.py'
_REPAIRS = 'compat/test_repairs.py::'
_add('no_package_lookup', _MMENGINE, 'setattr(module, mine.__name__, mine)',
     'pass', f'{_REPAIRS}test_configs_and_checkpoints_before_and_after')
_add('no_allow_list_of_checkpoints', _MMENGINE,
     '        add_safe_globals(safe)\n', '',
     f'{_REPAIRS}test_mmengines_checkpoints_load_with_weights_only')
_add('checkpoints_look_up_anything', _MMENGINE,
     "if owner is not HistoryBuffer or name.startswith('_'):", 'if False:',
     f'{_REPAIRS}test_a_checkpoint_looks_up_history_buffer_methods_only')
_add('no_mmcls_names', _MMRAZOR, '        sys.modules.update(alias)\n', '',
     f'{_REPAIRS}test_soft_ce_of_mmrazor_is_computed')
_add('no_repair_of_inplace', _MMRAZOR,
     'BaseAlgorithm.set_module_inplace_false = set_module_inplace_false',
     'pass', f'{_REPAIRS}test_a_record_before_an_in_place_relu')
_add('no_repair_of_demo_inputs', _MMRAZOR,
     'DefaultMMClsDemoInput._get_mm_data = _get_mm_data', 'pass',
     f'{_REPAIRS}test_a_classifier_of_mmpretrain_is_traced_for_pruning')
_add(
    'no_repair_of_resumed_pruning', _MMRAZOR,
    'ItePruneAlgorithm._init_prune_config_manager = \\\n'
    '            _init_prune_config_manager', 'pass', f'{_SAME_BITS}[l1]')
_add('no_repair_of_quantizers', _MMRAZOR,
     'academic_quantizer._fuse_fx = native_quantizer._fuse_fx = _fuse_fx',
     'pass',
     'compat/test_quantization.py::test_weights_are_rounded_to_eight_bits')
_add('no_repair_of_sampled_choices', _MMRAZOR,
     'OneShotMutableOP.sample_choice = sample_choice', 'pass',
     f'{_REPAIRS}test_a_sampled_choice_can_be_read_again')
_FEATURES = 'mmdgkd/compat/feature_repairs.py'
_TRIED = 'compat/test_features.py::'
_add('no_gradients_for_dsnas', _FEATURES, 'DSNAS.handle_grads = handle_grads',
     'pass', f'{_TRIED}test_dsnas_searches')
_add('no_gradients_for_dmcp', _FEATURES,
     'DMCP._update_arch_params = _update_arch_params', 'pass',
     f'{_TRIED}test_dmcp_under_ddp_is_dmcp')
_add('no_repair_of_dynamic_containers', _FEATURES,
     'DynamicSequential.convert_from = classmethod(convert_from)', 'pass',
     f'{_TRIED}test_a_sequential_becomes_a_dynamic_one_and_static_again')
_add('no_repair_of_the_metric_predictor', _FEATURES,
     'metric_predictor.np = _NumPy(int=int)', 'pass',
     f'{_TRIED}test_a_metric_is_predicted_from_a_subnet')
_add('no_repair_of_crd_samples', _FEATURES,
     'crd_dataset_wrapper.np = _NumPy(asarray=_ragged)', 'pass',
     f'{_TRIED}test_crd_samples_from_classes_of_different_sizes')
_add('no_names_for_crd_samples', _MMRAZOR, '**{old: names[name]}', '**{}',
     f'{_TRIED}test_crd_samples_from_classes_of_different_sizes')
_add('no_repair_of_gaussian_processes', _FEATURES, 'kind.__init__ = __init__',
     'pass', f'{_TRIED}test_a_gaussian_process_predicts')
_add('no_repair_of_validation_outputs', _MMENGINE,
     'loops._update_losses = _update_losses', 'pass',
     f'{_TRIED}test_a_network_that_predicts_a_dict_is_validated')

# Losses --------------------------------------------------------------------

_LOSS = 'mmdgkd/models/losses/dense_kd_loss.py'
_DIVERGENCES = 'mmdgkd/models/losses/divergences.py'
_OF_TEACHERS = 'mmdgkd/models/losses/teacher_weights.py'
_KD = 'models/losses/test_dense_kd_loss.py::'
_WEIGHED = 'models/losses/test_teacher_weights.py::'
_BATCHMEAN = '(tau**2) * (divergence.sum(1) / len(preds_S))'
_add('kd_without_tau_squared', _DIVERGENCES, _BATCHMEAN,
     'divergence.sum(1) / len(preds_S)', f'{_KD}test_it_is_the_formula')
_add('kd_mean_for_batchmean', _DIVERGENCES, _BATCHMEAN,
     '(tau**2) * divergence.mean(1)', f'{_KD}test_it_is_the_formula')
_add('kd_without_teacher_weights', _DIVERGENCES,
     'if any(weight != 1 for weight in weights):', 'if False:',
     f'{_KD}test_weights_of_single_teachers')
_add('kd_by_softmax_of_labels', _DIVERGENCES, "if activation == 'sigmoid':",
     'if False:', f'{_KD}test_labels_that_do_not_exclude_each_other')
_add('kd_with_graph_of_teachers', _DIVERGENCES, '_raised(logits.detach())',
     '_raised(logits)',
     f'{_KD}test_teachers_get_no_gradient_and_terms_no_graph')
_add('kd_form_paper_without_n', _LOSS,
     "return num_teachers if self.form == 'paper' else 1", 'return 1',
     f'{_KD}test_the_forms_count_the_cross_entropy')
_add('kd_form_averaged_is_summed', _LOSS,
     "if self.form == 'averaged' and preds_T:", 'if False:',
     f'{_KD}test_the_averaged_form_has_one_weight_however_many_are_active')
_add('stacked_by_weights_of_the_active', _LOSS, 'weight * (whole / active)',
     'weight',
     f'{_WEIGHED}test_stacked_weights_of_active_teachers_have_the_sum_of_all')
_add('stacked_without_weights_is_a_sum', _LOSS,
     'whole = 1 if not self.teacher_weights else sum(', 'whole = sum(',
     f'{_WEIGHED}test_stacked_without_weights_is_the_mean_of_logits')
_add('stacked_by_weights_of_some', _OF_TEACHERS, 'if stacked and others:',
     'if False:',
     f'{_WEIGHED}test_stacked_needs_the_weights_of_all_teachers_or_none')
_add('calibrated_teachers_ignored', _DIVERGENCES, 'if teacher_tau:',
     'if False:', f'{_WEIGHED}test_temperatures_of_single_teachers')
_add('image_weights_ignored', _DIVERGENCES, 'if image_weights is not None:',
     'if False:', f'{_WEIGHED}test_the_label_gate')
_add('gate_for_the_worst', _OF_TEACHERS, '(-losses / s)', '(losses / s)',
     f'{_WEIGHED}test_the_label_gate')
_add('ca_mkd_for_the_worst', _OF_TEACHERS, '(1 - losses.softmax(0))',
     'losses.softmax(0)', f'{_WEIGHED}test_the_gate_of_ca_mkd')
_add('unseen_shares_exchanged', _OF_TEACHERS, 'torch.where(unseen, share',
     'torch.where(~unseen, share',
     f'{_WEIGHED}test_shares_of_teachers_that_have_not_seen_an_image')
_add(
    'gslr_share_fixed', 'mmdgkd/methods/gslr/gslr_hook.py',
    'return 1 - (1 - to) * min(1., max(0., gone))', 'return 1.',
    'methods/gslr/test_gslr_hook.py::'
    'test_it_shrinks_linearly_from_begin_to_end')
_add(
    'curriculum_backwards', 'mmdgkd/methods/curriculum/curriculum_hook.py',
    'merged_names(self.teachers)[::-1]', 'merged_names(self.teachers)',
    'methods/curriculum/test_curriculum_hook.py::'
    'test_from_the_smallest_teacher_to_the_largest')
_add(
    'losses_without_the_batch', _DGKD, 'self._begin_batch(data_samples)',
    'pass', 'chain/test_forms_in_chains.py::'
    'test_each_image_is_taught_by_who_has_not_seen_it')
_add(
    'ensemble_unseen_by_any_member', 'mmdgkd/models/distillers/batch.py',
    'if all(teacher in unseen', 'if any(teacher in unseen',
    'models/distillers/test_batch.py::'
    'test_an_ensemble_has_seen_what_any_active_member_has')
_add(
    'partner_seen_by_teachers', 'mmdgkd/models/teachers/teacher_folds.py',
    'if views.partners is not None:', 'if False:',
    'models/teachers/test_teacher_folds.py::'
    'test_of_a_mixed_image_neither_part_was_trained_on')
_add(
    'soft_share_ignored', _DGKD,
    'weight = self.soft_share * weight + (1 - self.soft_share)', 'pass',
    'models/algorithms/test_dgkd.py::'
    'test_a_share_of_the_soft_loss_leaves_the_rest_to_the_labels')
_add('finite_loss_guard_off', 'mmdgkd/engine/finite_step/step_guard.py',
     'bad = (~torch.isfinite(torch.stack(parts))).any().float()', 'pass',
     'engine/finite_step/test_step_guard.py::test_bad_steps_leave_no_trace')
_GUARD = 'mmdgkd/engine/finite_step/step_guard.py'
_GUARD_TESTS = 'engine/finite_step/test_step_guard.py::'
_add('bad_gradients_ignored', _GUARD,
     'self._check(grads if scaled is None else [])', 'self._check([])',
     f'{_GUARD_TESTS}test_gradients_are_looked_at_by_themselves')
_add('a_fused_optimizer_steps', _GUARD, 'optimizer.found_inf = self._flag if',
     'optimizer.found_inf = None if',
     f'{_GUARD_TESTS}test_bad_steps_leave_no_trace')
_add('a_scaler_alone_decides', _GUARD,
     'torch.maximum(scaled.reshape(()), self._flag)', 'scaled.reshape(())',
     f'{_GUARD_TESTS}test_a_loss_counts_where_a_scaler_finds_nothing')
_add('new_state_of_a_bad_step_stays', _GUARD,
     'value.masked_fill_(bad.bool(), 0)', 'pass',
     f'{_GUARD_TESTS}test_bad_steps_leave_no_trace')
_KEPT = 'mmdgkd/engine/finite_step/kept_tensors.py'
_KEPT_TESTS = 'engine/finite_step/test_kept_tensors.py::'
_add('a_resized_range_is_written_over', _KEPT,
     'is_same = _layout_of(tensors) == self._layout', 'is_same = True',
     f'{_KEPT_TESTS}test_what_has_another_shape_stays')
_add('always_the_copies', _KEPT, 'chosen.to(group.words[0].dtype)', '1',
     f'{_KEPT_TESTS}test_all_bits_are_kept_or_stay')
_add('shared_memory_is_changed_twice', _KEPT,
     ' or shared[_memory_of(tensor)] > 1', '',
     f'{_KEPT_TESTS}test_memory_that_is_shared_and_what_is_sparse')
_FAST = 'mmdgkd/engine/hooks/fast_network_hook.py'
_FAST_TESTS = 'engine/hooks/test_fast_network_hook.py::'
_add('graphs_of_accumulated_gradients', _FAST,
     'if self._graphs and _accumulates(runner.optim_wrapper):', 'if False:',
     f'{_FAST_TESTS}test_graphs_and_gradients_that_are_accumulated')
_add('graphs_keep_all_steps', _FAST,
     'torch.compiler.cudagraph_mark_step_begin()', 'pass',
     f'{_FAST_TESTS}test_compiled')
_add('one_program_for_all_sizes', 'mmdgkd/models/utils/networks.py',
     'backbone.compile(mode=mode, dynamic=False)',
     'backbone.compile(mode=mode)',
     f'{_FAST_TESTS}test_a_batch_of_another_size_changes_no_program')
_add('freed_memory_goes_back', 'mmdgkd/utils/memory.py',
     '        mallopt(_TRIM_THRESHOLD, _TRIM_BYTES)\n', '',
     'utils/test_memory.py::test_pages_are_not_fetched_again')
_add('a_flag_is_read_at_once', 'mmdgkd/engine/hooks/finite_loss_hook.py',
     '0 if step.is_known else _LAG', '0',
     'engine/test_no_waiting.py::test_a_step_reads_one_flag')
_add('files_are_hashed_each_time', 'mmdgkd/datasets/batched.py',
     '_INTACT.add(known)', 'pass',
     'datasets/test_batched.py::test_files_are_hashed_once')

# Several processes ---------------------------------------------------------

_PEERS, _PEER_TESTS = 'mmdgkd/utils/peers.py', 'utils/test_peers.py::'
_add('a_process_without_heartbeat_is_waited_for', _PEERS,
     'if had >= self.seconds and rank', 'if had >= 1e9 and rank',
     f'{_PEER_TESTS}test_a_process_that_gives_no_heartbeat_ends_the_other')
_add('a_store_that_is_gone_is_waited_for', _PEERS, 'if missed >= self.seconds',
     'if missed >= 1e9',
     f'{_PEER_TESTS}test_a_process_that_gives_no_heartbeat_ends_the_other')
_STATE = 'mmdgkd/engine/hooks/_rank_state.py'
_add('buffers_that_differ_are_lost', _STATE, 'if not any(differ) and', 'if',
     'engine/hooks/test_rank_state.py::test_each_rank_has_its_own_again')
_add('gradients_of_others_are_lost', _STATE, "bool(mine['grads']), ", '0, ',
     'engine/hooks/test_rank_state.py::test_gradients_that_wait')
_add('each_rank_stops_by_itself', 'mmdgkd/engine/hooks/_stop_signals.py',
     'self._work = torch.distributed.all_reduce(\n            flag,',
     'self._work = torch.distributed.all_reduce(\n            flag * 0,',
     'engine/hooks/test_stop_signals.py::test_ranks_stop_at_the_same_call')
_add('a_process_that_has_left_is_gone', _PEERS, ' or new == _LEFT', '',
     f'{_PEER_TESTS}test_a_process_that_has_ended_by_itself_is_not_gone')
_add('a_lost_connection_is_a_failure', _PEERS, "'/gloo/.*(", "'/none/.*(",
     f'{_PEER_TESTS}test_a_process_that_is_killed_ends_the_other')
_add('no_timeout_on_the_cpu', 'mmdgkd/utils/distributed.py',
     "if options.get('timeout') is not None", 'if False',
     f'{_PEER_TESTS}test_a_collective_has_the_timeout_of_the_config')
_FOLDER = 'mmdgkd/fileio/shared_folder.py'
_COPIES = 'fileio/test_shared_folder.py::test_what_is_copied'
_add('a_damaged_checkpoint_is_copied', _FOLDER, 'if not is_damaged(path)', '',
     _COPIES)
_add('a_changed_file_is_not_copied', _FOLDER, ' or self._facts(name) != facts',
     '', _COPIES)
_add('files_of_others_are_removed', _FOLDER, 'in copied & here - listed',
     'in here - listed', _COPIES)
_add('another_training_is_overwritten', _FOLDER,
     'self._lacks and not self._is_copy and', 'False and',
     'fileio/test_shared_folder.py::test_a_chain_without_a_shared_work_dir')
_add(
    'addresses_of_before_a_restart', 'mmdgkd/utils/distributed.py',
    'and restarts():', 'and False:', 'tools/test_stop.py::'
    'test_two_ranks_stop_together_and_go_on_to_the_same_bits')
_add('a_copy_is_trained_on', _FOLDER, 'is_main_process() and self._is_copy',
     'False', 'fileio/test_shared_folder.py::'
     'test_a_chain_without_a_shared_work_dir')
_SWEEP = 'jobs/test_sweep.py::'
_add('a_beginning_is_a_teacher', 'mmdgkd/jobs/sweep.py',
     'for each in chain.teachers[name]), begins', 'for each in '
     'chain.needs(name)), begins',
     f'{_SWEEP}test_what_a_network_begins_from_is_no_teacher')
_add('folds_by_place_in_the_run', 'mmdgkd/jobs/sweep.py',
     "entry['fold'] = chain.fold_of(name)", 'pass',
     f'{_SWEEP}test_folds_are_those_among_all_networks')
_add('done_whatever_it_was', 'mmdgkd/jobs/sweep.py', '.work.todo(True)',
     '.work', f'{_SWEEP}test_what_was_trained_otherwise')
_add(
    'a_stage_writes_the_ledger_of_others', 'mmdgkd/chain/ledger.py',
    "stages[name] = found['stages'][name]", 'pass', 'chain/test_runner.py::'
    'test_stages_that_do_not_wait_for_each_other_train_at_once')
_add('a_signal_waits_for_others', 'mmdgkd/engine/hooks/_signal_watch.py',
     'still >= PATIENCE', 'still >= 1e9',
     f'{_PEER_TESTS}test_one_that_waits_for_another_ends_after_sigterm')
_add('any_long_call_is_a_hang', 'mmdgkd/engine/hooks/_signal_watch.py',
     'if waits and get', 'if get',
     f'{_PEER_TESTS}test_one_that_waits_for_another_ends_after_sigterm')
_add('a_failure_is_a_stop_elsewhere', 'mmdgkd_cli/common.py',
     'if failure is not None', 'if None',
     f'{_PEER_TESTS}test_a_failure_of_one_is_one_of_all')
_add('a_lost_process_is_a_mistake', 'mmdgkd/chain/preflight/blame.py',
     'if is_of_lost_peer(error)', 'if None',
     'chain/preflight/test_rehearsal.py::test_a_lost_process_is_no_mistake')
_add(
    'a_second_signal_waits', 'mmdgkd/engine/hooks/_signal_watch.py',
    'if again and still >= 2', 'if again and still >= 1e9',
    'engine/hooks/test_stop_signals.py::test_one_that_hangs_ends_at_the_'
    'second')

# Chains --------------------------------------------------------------------

_CHAIN = 'mmdgkd/chain/chain.py'
_GUIDANCE = 'chain/test_chain.py::test_teachers_of_each_network'
_add('dense_is_sequential', _CHAIN, "'dense': slice(None)",
     "'dense': slice(-1, None)", _GUIDANCE)
_add('sequential_is_direct', _CHAIN, "'sequential': slice(-1, None)",
     "'sequential': slice(0, 1)", _GUIDANCE)
_add(
    'init_from_ignored', 'mmdgkd/chain/hooks/init_from_hook.py',
    '        if runner.iter:\n', '        if True:\n',
    'methods/pruning/test_pruned_networks.py::'
    'test_it_begins_from_another_and_the_l1_norm_chooses')
_add('last_is_best', 'mmdgkd/chain/ledger.py',
     'last=history[-1][1] if history else None', 'last=best[1]',
     'chain/test_ledger.py::test_best_last_and_going_back')
_add('largest_loss_is_best', 'mmdgkd/chain/ledger.py',
     'dict(greater=max, less=min)', 'dict(greater=max, less=max)',
     'chain/test_ledger.py::test_of_a_loss_the_least_is_the_best')
_add(
    'nan_is_best', 'mmdgkd/chain/ledger.py',
    'point for point in history if math.isfinite(point[1])',
    'point for point in history',
    'chain/test_ledger.py::test_a_value_that_is_not_finite_is_never_the_best')
_add('early_end_is_not_done', 'mmdgkd/engine/loops/position.py',
     'done if ended else total', 'total',
     'chain/test_metric.py::test_a_stage_that_ends_early_is_done')
_add('no_checkpoint_at_an_early_end',
     'mmdgkd/engine/hooks/atomic_checkpoint_hook.py',
     'if runner.train_loop.stop_training:', 'if False:',
     'chain/test_metric.py::test_a_stage_that_ends_early_is_done')
_add(
    'ledger_not_checked', 'mmdgkd/chain/ledger_schema.py',
    'if error is not None:', 'if False:', 'chain/test_ledger.py::'
    'test_any_entry_missing_or_of_another_type_is_one_line')
_add('teachers_in_file_of_network', 'mmdgkd/fileio/state_dicts.py',
     'for name, data in state.items() if name.startswith(_ARCHITECTURE)',
     'for name, data in state.items()',
     'models/utils/test_weights.py::test_all_kinds_of_checkpoints_load')
_add(
    'meta_norm_without_parameters', 'mmdgkd/utils/meta.py',
    '_SameShape.apply(images, weight, bias)', '_SameShape.apply(images)',
    'utils/test_meta.py::'
    'test_shapes_and_paths_of_gradients_are_those_without_it')
_add('report_not_escaped', 'mmdgkd/report/render.py', 'autoescape=True',
     'autoescape=False', 'report/test_report.py::test_names_are_escaped')
_add('exit_code_of_config_error', 'mmdgkd/errors.py', 'exit_code = 2',
     'exit_code = 1', 'tools/test_train.py::test_mistakes_get_one_line')
_add('exit_code_of_stop', 'mmdgkd/errors.py', 'exit_code = 75',
     'exit_code = 3', 'tools/test_stop.py::test_a_signal_to_all_processes')

# Methods -------------------------------------------------------------------

_PROGRAMS = 'chain/export/test_torch_export.py::'
_add('program_of_another_order', 'mmdgkd/chain/export/program_images.py',
     'front.append(FlipChannels())', 'pass',
     f'{_PROGRAMS}test_the_order_of_channels')
_add('other_program_accepted', 'mmdgkd/chain/export/torch_export.py',
     'if not logits_match(found, own, program):', 'if False:',
     f'{_PROGRAMS}test_other_logits_are_refused')
_add('crop_rounded_down', 'mmdgkd/chain/export/preprocessing.py',
     'return rest // 2 + (rest % 2) * (rest // 2 % 2)', 'return rest // 2',
     f'{_PROGRAMS}test_cropped_as_by_mmcv')
_add(
    'levels_of_executorch_not_moved', 'mmdgkd/chain/export/formats.py',
    'if kind is torch.uint8:', 'if False:',
    'methods/qat/test_quantized_networks.py::'
    'test_its_levels_are_learned_and_exported')
_add(
    'weights_in_floats', 'mmdgkd/methods/qat/fixed_graph.py',
    'if type_of_levels(rounding.quant_min, rounding.quant_max):', 'if False:',
    'methods/qat/test_quantized_networks.py::'
    'test_its_levels_are_learned_and_exported')
_add('latency_by_all_threads', 'mmdgkd/chain/export/latency.py',
     'torch.set_num_threads(1)', 'pass',
     f'{_PROGRAMS}test_latency_and_records')
_add('programs_of_other_weights', 'mmdgkd/fileio/programs.py',
     'if one.weights in weights', 'if True',
     f'{_PROGRAMS}test_latency_and_records')
_add('ties_on_the_front', 'mmdgkd/report/programs.py', 'badness < best[1] or',
     'badness <= best[1] or',
     'report/test_programs.py::test_the_front_has_what_nothing_beats')
_add('stale_programs_shown', 'mmdgkd/report/programs.py',
     'if one.weights == stage.weights', 'if True',
     'report/test_programs.py::test_what_is_not_comparable_is_said')
_add(
    'network_file_needs_us', 'mmdgkd/chain/network_file.py',
    'if (plain and _needs_us(entry)', 'if (False and _needs_us(entry)',
    'chain/test_network_file.py::'
    'test_mmpretrain_loads_its_own_networks_alone')
_add('subclasses_replaced', 'mmdgkd/chain/network_file.py',
     'if (plain and _needs_us(entry)', 'if (plain and True',
     'chain/test_network_file.py::test_classes_of_users_stay')
_add('metrics_on_one_front', 'mmdgkd/report/programs.py',
     'if row.value is not None and (row.stage.metric,',
     'if row.value is not None or (row.stage.metric,',
     'report/test_programs.py::test_metrics_are_not_compared_with_each_other')
_add('deleted_programs_shown', 'mmdgkd/report/programs.py',
     'and _size_of(osp.join(stage.folder, name)) == one.size', '',
     'report/test_programs.py::test_what_is_not_comparable_is_said')
_add(
    'shared_layers_dropped', 'mmdgkd/compat/feature_repairs.py',
    'OrderedDict(module._modules)', 'OrderedDict(module.named_children())',
    'compat/test_features.py::'
    'test_a_sequential_becomes_a_dynamic_one_and_static_again')
_EXPORTED = f'{_CONTRACT}test_it_is_exported_with_its_own_logits'
_add('pruned_exported_whole', 'mmdgkd/models/utils/networks.py',
     "if isinstance(getattr(algorithm, 'mutator', None), ChannelMutator):",
     'if False:', f'{_EXPORTED}[l1]')
_add('quantized_exported_in_float', 'mmdgkd/methods/qat/method.py',
     'return fixed_graph(algorithm)', 'return algorithm.architecture',
     f'{_EXPORTED}[qat]')
_add(
    'wrong_integers_accepted', 'mmdgkd/methods/low_bit/method.py',
    'if not logits_match(found, wanted, rebuilt):', 'if False:',
    'methods/low_bit/test_few_bit_networks.py::'
    'test_it_is_exported_as_integers_and_a_teacher')
_add('integers_off_by_one', 'mmdgkd/methods/low_bit/quantizers/integers.py',
     'weight).cpu().contiguous()\n', 'weight).cpu().contiguous() + 1\n',
     f'{_EXPORTED}[low_bit]')
_add('fewer_levels', 'mmdgkd/methods/low_bit/quantizers/functions.py',
     'return 0, 2**bits - 1', 'return 0, 2**bits - 2',
     'methods/low_bit/quantizers/test_functions.py::test_levels_of_bits')
_add(
    'another_width_extracted', 'mmdgkd/methods/slimmable/method.py',
    "model.set_width(name_of_width(network.part['width']))",
    'model.set_width(model.width_names[0])',
    'methods/slimmable/test_slimmable_networks.py::'
    'test_each_width_is_a_network_of_its_own')
_SNAPSHOTS = 'methods/snapshots/test_snapshots_in_chains.py::'
_add(
    'snapshot_after_its_checkpoint',
    'mmdgkd/methods/snapshots/snapshot_hook.py', 'priority = 89',
    'priority = 91', f'{_SNAPSHOTS}test_killed_beside_the_writing_'
    'it_is_written_by_the_resumed')
_add(
    'snapshot_of_the_end', 'mmdgkd/methods/snapshots/method.py',
    'return snapshot_file(stage.work_dir, *_step(network, stage))',
    'return None', f'{_SNAPSHOTS}test_a_snapshot_is_a_network_with_the_'
    'weights_of_that_epoch')
_add('snapshots_in_the_fingerprint', 'mmdgkd/chain/training_settings.py',
     "if getattr(kind, 'changes_training', True):", 'if True:',
     f'{_SNAPSHOTS}test_asking_for_snapshots_changes_no_bit_of_the_parent')
_add(
    'mutual_peers_not_detached', 'mmdgkd/methods/mutual/mutual_networks.py',
    'detached = {name: one.detach() for', 'detached = {name: one for',
    'methods/mutual/test_mutual_algorithm.py::'
    'test_the_logits_of_the_others_get_no_gradient')
_add('crd_banks_not_in_state', 'mmdgkd/methods/crd/bank_crd_loss.py',
     'uniform_(-bound, bound))', 'uniform_(-bound, bound), persistent=False)',
     'methods/crd/test_bank_crd_loss.py::test_it_goes_on_from_its_state')
_add(
    'student_reaches_the_generator',
    'mmdgkd/models/distillers/multi_teacher_distiller.py',
    'if self.detach_teachers and not from_student:', 'if False:',
    'methods/dafl/test_dense_dafl.py::'
    'test_the_student_loss_does_not_reach_the_generator')
_add(
    'gaps_of_a_failed_call_are_kept', 'mmdgkd/methods/dafl/batch_norm_gaps.py',
    'super().reset_data_buffer()\n        self._gaps = []\n',
    'super().reset_data_buffer()\n', 'methods/dafl/test_batch_norm_gaps.py::'
    'test_nothing_is_left_of_a_call_that_failed')
_add(
    'a_name_must_have_a_hash', 'mmdgkd/chain/chain.py',
    'if teacher not in tuple(before):', 'if teacher not in before:',
    'chain/preflight/test_bad_input.py::'
    'test_an_option_of_any_form_is_taken_or_one_line')
_add('subnet_not_in_state', 'mmdgkd/methods/spos/subnet_spos.py',
     'prefix, *args, **kwargs)\n        self._read_subnet()\n',
     'prefix, *args, **kwargs)\n',
     'methods/spos/test_subnet_spos.py::test_the_subnet_is_part_of_the_state')
_ONE_SHOT = 'methods/one_shot/test_one_shot_pruned.py::'
_add('what_is_pruned_grows_again',
     'mmdgkd/methods/one_shot/one_shot_pruned.py',
     '        return gradient * getattr(self, key)\n',
     '        return gradient\n', f'{_ONE_SHOT}test_what_is_pruned_stays_so')
_add('pruned_without_the_context',
     'mmdgkd/methods/one_shot/one_shot_pruned.py', '            if alpha:\n',
     '            if False:\n', f'{_ONE_SHOT}test_teachers_are_the_context')
_add(
    'guidance_away_from_the_class', 'mmdgkd/methods/dskd/diffusion.py',
    'return noise - scale * (1', 'return noise + scale * (1',
    'methods/dskd/test_diffusion.py::'
    'test_guidance_is_the_gradient_of_the_classifier')
_add('all_images_teach', 'mmdgkd/methods/dskd/dskd_loss.py',
     '(terms * chosen).sum()', 'terms.sum()',
     'methods/dskd/test_dskd_loss.py::test_the_hash_loss_by_hand')
_add(
    'student_guides_itself_with_gradients',
    'mmdgkd/methods/student_guided/student_guided_kd_loss.py',
    'passes.detach().float()', 'passes.float()',
    'methods/student_guided/test_student_guided_feature_loss.py::'
    'test_gradients_are_those_of_the_student_alone')
_add('other_forms_of_keys_pass', 'mmdgkd/chain/runner_keys.py',
     '    if error is not None:\n', '    if False:\n',
     'chain/test_runner_keys.py::test_another_form_than_a_runner_takes')
_add('a_copy_of_samples_loses_its_views', 'mmdgkd/structures/views.py',
     ' and data_samples.views is not None:', ':',
     'structures/test_views.py::test_views_of_samples')
_PRUNE_HOOK = 'mmdgkd/methods/one_shot/one_shot_prune_hook.py'
_NO_CONTEXT = ('methods/one_shot/test_one_shot_networks.py::'
               'test_the_network_that_it_begins_from_is_no_context')
_add('importance_of_one_process_alone', _PRUNE_HOOK,
     '        all_reduce(gradient)\n', '        pass\n', _NO_CONTEXT)
_add('its_own_context', _PRUNE_HOOK, '        if name not in own\n', '',
     _NO_CONTEXT)
_add('denoising_begins_elsewhere', 'mmdgkd/methods/dskd/dskd_loss.py',
     'self.start * number // count - 1', 'self.start * (number - 1) // count',
     'methods/dskd/test_dskd_loss.py::test_denoising_begins_at_the_start')

# Logits that are found, and weights that are used --------------------------

_LOGITS = 'mmdgkd/models/utils/logits.py'
_FOUND = 'models/utils/test_logits.py::test_'
_add('margins_in_the_logits', _LOGITS, 'if name and len(inputs) > 1:',
     'if False:', f'{_FOUND}logits_are_those_of_the_predictions')
_add('one_of_two_outputs', _LOGITS, 'return sum(outputs[1:], outputs[0])',
     'return outputs[0]', f'{_FOUND}logits_are_those_of_the_predictions')
_add('logits_of_any_head_named_before', _LOGITS,
     "return 'head.fc' if is_plain and is_found(network, source) else source",
     "return 'head.fc' if is_found(network, source) else source",
     f'{_FOUND}only_a_linear_head_has_the_name_of_before')
_add('edges_of_one_source', 'mmdgkd/models/distillers/edges.py',
     'source={**source, name: mine}', 'source=mine',
     'models/distillers/test_edges.py::test_one_recorder_of_several_teachers')
_USED = 'chain/test_use.py::test_'
_add('best_is_last', 'mmdgkd/chain/stage_training.py',
     "if chain[name].use == 'best':", 'if False:',
     f'{_USED}the_best_epoch_teaches_and_is_exported')
_add('teachers_rewritten', 'mmdgkd/chain/changed_use.py',
     "if name in work.ledger[other].get('read', {}):", 'if False:',
     f'{_USED}the_best_epoch_teaches_and_is_exported')
_add('no_averages', 'mmdgkd/chain/use.py',
     "if use == 'ema' and not _averages(stage):", 'if False:',
     f'{_USED}averages_are_switched_on_and_resumed')

# A config of one's own ----------------------------------------------------

_IMAGES = 'mmdgkd/new/image_data.py'
_NEW = 'new/test_new_config.py::'
_add(
    'split_without_seed', _IMAGES, 'rng = np.random.default_rng(seed)',
    'rng = np.random.default_rng(0)', 'new/test_image_data.py::'
    'test_a_split_is_of_each_class_and_of_the_seed_alone')
_add(
    'split_that_shares_images', _IMAGES, 'sorted(order[count:])',
    'sorted(order[count - 1:])', 'new/test_image_data.py::'
    'test_a_split_is_of_each_class_and_of_the_seed_alone')
_add('images_are_not_read', _IMAGES, 'image.load()\n', 'pass\n',
     'new/test_image_data.py::test_a_damaged_image_is_named')
_add(
    'folders_without_images_are_classes', _IMAGES,
    "if numbers[name] in used and not name.startswith('.')", 'if True',
    'new/test_image_data.py::'
    'test_folders_without_images_and_hidden_ones_are_no_classes')
_add('a_store_of_the_whole_disk', 'mmdgkd/new/recipe.py', '_DISK = 0.5',
     '_DISK = 1.0',
     'new/test_recipe.py::test_the_store_fits_on_half_of_the_disk')
_add('tas_at_equal_differences', 'mmdgkd/new/models.py',
     'teacher.macs / ratio**(i / (count + 1))',
     'teacher.macs - (teacher.macs - student.macs) * i / (count + 1)',
     'new/test_models.py::test_tas_have_equal_ratios_of_macs')
_add('written_unrehearsed', 'mmdgkd/new/new_config.py',
     'if options.rehearsal:', 'if False:',
     f'{_NEW}test_a_teacher_of_other_classes_names_them_or_is_refused')
_add('written_over', 'mmdgkd/new/options.py',
     'if osp.exists(path) and not self.force:', 'if False:',
     f'{_NEW}test_it_is_overwritten_on_demand_alone')

# Weighing teachers ----------------------------------------------------------

_STACKING = 'mmdgkd/weigh/stacking.py'
_WEIGHING = 'mmdgkd/weigh/weighing.py'
_HELD_OUT = 'mmdgkd/weigh/held_out_logits.py'
_add('a_calibration_error_without_shares', 'mmdgkd/weigh/calibration.py',
     ' * found[:, 2])', ' / len(found))',
     'weigh/test_calibration.py::test_calibration_error_by_hand')
_add('bins_with_their_lower_end', 'mmdgkd/weigh/calibration.py',
     'np.ceil(confidence * bins).astype(int), 1, bins) - 1',
     'np.floor(confidence * bins).astype(int), 0, bins - 1)',
     'weigh/test_calibration.py::test_a_bin_has_its_upper_end')
_add('negative_weights', _STACKING, 'bounds=[(0, None)] * len(start)',
     'bounds=None',
     'weigh/test_stacking.py::test_a_misleading_teacher_weighs_nothing')
_add('a_wrong_gradient', _STACKING, '/ len(labels) - own', '/ len(labels)',
     'weigh/test_stacking.py::test_it_is_the_least_nll')
_add('a_refit_without_its_resample', _STACKING,
     'step = self._newton(counts / counts.sum())',
     'step = self._newton(np.ones_like(counts) / len(counts))',
     'weigh/test_stacking.py::test_a_refit_is_the_fit_to_the_resample')
_add('a_hessian_without_the_means', _STACKING,
     'found = found - means[i] * means[j]', 'pass',
     'weigh/test_stacking.py::test_a_refit_is_the_fit_to_the_resample')
_add(
    'losses_in_the_bag', _STACKING, '[counts == 0]', '[counts > 0]',
    'weigh/test_stacking.py::'
    'test_what_a_fit_owes_to_its_images_does_not_count')
_add('a_gain_of_chance_pays', _WEIGHING, "['best']['low'] > 0",
     "['best']['high'] > 0",
     'weigh/test_weighing.py::test_a_gain_that_may_be_chance_does_not_count')
_add(
    'the_mean_pays_with_the_stack', _WEIGHING,
    "pays = {\n        form: found[form]", "pays = {\n        form: "
    "found['stack']", 'weigh/test_weighing.py::'
    'test_a_mean_with_bad_teachers_pays_only_if_stacked')
_add(
    'gains_over_the_first_alone', _WEIGHING,
    'against = dict(best=2 + alone.index(best), first=2)',
    'against = dict(best=2, first=2)', 'weigh/test_weighing.py::'
    'test_the_best_one_is_named_if_it_is_not_the_first')
_add('held_out_logits_of_other_weights', _HELD_OUT,
     "weights['sha256'] or path", 'path',
     'weigh/test_chains.py::test_other_weights_are_run_again')
_add(
    'networks_from_elsewhere_that_are_not_named', 'mmdgkd/weigh/chains.py',
    "if 'mmdgkd_version' not in meta:", 'if False:', 'weigh/test_chains.py::'
    'test_what_was_trained_elsewhere_may_have_seen_the_images')
_add('held_out_images_of_a_report_by_their_indices', 'mmdgkd/report/images.py',
     'places = [dataset.place_of(index) for index in places]', 'pass',
     'report/test_comparison.py::test_images_that_were_held_out')
_add('held_out_logits_of_another_pipeline', _HELD_OUT,
     "data_key(loader['dataset'])", "''",
     'weigh/test_chains.py::test_another_pipeline_is_run_again')
_add('held_out_logits_of_other_content', _HELD_OUT, ' + content', '',
     'weigh/test_chains.py::test_other_content_of_the_data_is_run_again')
_add('held_out_logits_that_are_never_cached', _HELD_OUT,
     "str(found['key']) == key", 'False',
     'weigh/test_chains.py::test_a_second_time_no_network_is_run')
_add(
    'labels_that_do_not_exclude_each_other', _HELD_OUT, "== 'sigmoid'",
    "== 'no'", 'weigh/test_chains.py::'
    'test_labels_that_do_not_exclude_each_other_are_refused')
_add('held_out_images_in_another_order', _HELD_OUT,
     "or not np.array_equal(part['labels'], first['labels'])", '',
     'weigh/test_chains.py::test_an_order_that_differs_is_refused')
_add('held_out_images_are_trained_on', 'mmdgkd/datasets/splits.py',
     'is_in = ~np.isin(images, out)', 'is_in = np.isin(images, images)',
     'datasets/test_splits.py::test_what_is_left_out_is_never_sampled')
_add('fold_is_trained_on', 'mmdgkd/datasets/splits.py', '!= self.fold\n',
     '!= -1\n',
     'datasets/test_splits.py::test_what_is_left_out_is_never_sampled')
_add('partners_are_left_out', 'mmdgkd/datasets/mixing.py',
     'chosen = count if self._chosen is None else self._chosen',
     'chosen = count',
     'datasets/test_splits.py::test_partners_are_not_left_out')
_add('repeated_images_are_parted', 'mmdgkd/datasets/splits.py',
     'return images[[origin(i) for i in range(len(dataset))]]',
     'return np.arange(len(dataset))', 'datasets/test_splits.py::'
     'test_what_repeats_images_does_not_part_them')
_add('other_number_of_images', 'mmdgkd/chain/split_checks.py',
     'if found.count and found.count != wanted.count:', 'if False:',
     'chain/test_splits_in_chains.py::test_stages_of_other_images')
_add('other_images_of_one_number', 'mmdgkd/chain/split_checks.py',
     'if found.key and wanted.key and found.key != wanted.key:', 'if False:',
     'chain/test_splits_in_chains.py::test_stages_of_other_images')
_add('weigh_on_other_images', 'mmdgkd/weigh/held_out_logits.py',
     "check_held_out(meta_of(path, 'work_dir'), images, path)", 'pass',
     'weigh/test_chains.py::test_the_command')
_add(
    'folds_of_repeated_images', 'mmdgkd/datasets/splits.py',
    'if self.folds and not', 'if self.fold is not None and not',
    'chain/test_splits_in_chains.py::'
    'test_a_student_whose_data_repeats_images')
_add(
    'small_weights', 'mmdgkd/models/losses/dense_kd_loss.py',
    'weights = {name: each / most for', 'weights = {name: each for',
    'models/losses/test_dense_kd_loss.py::'
    'test_only_the_ratios_of_weights_count')
