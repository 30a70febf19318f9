# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Whether teachers pay: drawn ones of whom it is known."""
import json

import numpy as np
import pytest
from drawn_teachers import views

from mmdgkd import ConfigError
from mmdgkd.weigh import weigh
from mmdgkd.weigh.calibration import (best_temperature, calibration_error,
                                      log_probs_of, nll)
from mmdgkd.weigh.formatting import format_config, format_table
from mmdgkd.weigh.plot import plot_weighed
from mmdgkd.weigh.stacking import as_stack, combined, fit, stack


def weighed(logits, labels, names='abcdefgh'):
    return weigh(dict(zip(names, logits)), labels, resamples=50)


@pytest.fixture(scope='module')
def independent():
    """The second one is the best: (found, logits, labels)."""
    logits, labels = views(2000, noises=(2., 1., 2.))
    return weighed(logits, labels), logits, labels


def test_independent_teachers_pay():
    found = weighed(*views(2000, noises=(2., 2., 2.)))
    assert found['sentence'].startswith('dense guidance can pay here: NLL ')
    for form in ('stack', 'mean'):
        assert found[form]['gain']['best']['low'] > 0.01
    # As the stacked one of more of the same kind is better.
    for form in ('stack', 'mean'):
        losses = found['by_number'][form]
        assert losses == sorted(losses, reverse=True)


def test_the_same_teacher_twice_does_not():
    logits, labels = views(1000, noises=(2., ))
    found = weighed(logits * 2, labels)
    assert found['sentence'].startswith('dense guidance cannot pay here: NLL ')
    assert found['stack']['gain']['best']['low'] <= 0
    assert {one['lost'] for one in found['teachers'].values()} == {None}
    assert '(-0.0' not in format_table(found)


def test_a_bad_teacher_twice_is_no_better_than_once():
    """Nor is a guess of the stacked estimate a gain over it."""
    labels = np.random.default_rng(0).integers(10, size=200)
    # Sure of the wrong class, and of the right one by half.
    wrong = 500. * np.eye(10)[(labels + 1) % 10]
    half = 500. * np.eye(10)[np.where(np.arange(200) % 2, labels, labels - 1)]
    for one in (wrong, half, 0 * half):
        found = weighed([one] * 2, labels)
        assert found['sentence'].startswith('dense guidance cannot pay here')
        alone = found['teachers']['a']['nll_calibrated']
        assert alone <= round(np.log(10), 4)
        assert found['stack']['nll_calibrated'] == pytest.approx(
            alone, abs=1e-4)


def test_a_gain_that_may_be_chance_does_not_count():
    found = weighed(*views(200, noises=(1., 8.), seed=2))
    gain = found['stack']['gain']['best']
    assert gain['low'] < 0 < gain['high']
    assert found['sentence'].startswith('dense guidance cannot pay here: NLL ')


def test_a_mean_with_bad_teachers_pays_only_if_stacked():
    logits, labels = views(2000, noises=(1., 8., 8., 8., 2.))
    found = weighed(logits, labels)
    assert found['sentence'].startswith(
        'dense guidance can pay here if stacked: NLL ')
    assert found['sentence'].endswith('; the plain mean cannot')
    assert found['mean']['gain']['best']['high'] < 0


def test_one_teacher():
    logits, labels = views(300, noises=(1., ))
    found = weighed(logits, labels)
    assert found['sentence'].startswith(
        'dense guidance cannot pay here: there is one teacher, NLL ')
    assert found['stack']['gain']['best'] == dict(value=0, low=0, high=0)
    assert found['teacher_weights']['a'] == pytest.approx(1, abs=1e-3)
    assert plot_weighed(found)


@pytest.mark.parametrize('count', [1, 19])
def test_too_few_images_are_refused(count):
    with pytest.raises(
            ConfigError,
            match=f'chain.holdout: holds out {count} images.* 20 or more, '
            'better 1000'):
        weighed(*views(count))
    assert weighed(*views(20))['images'] == 20


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(value):
    logits, labels = views(100)
    logits[1][[2, 5], 3] = value
    with pytest.raises(
            ConfigError,
            match='chain.networks.b: gives NaN or infinite scores for 2 of '
            '100'):
        weighed(logits, labels)


@pytest.mark.parametrize('label', [-100, 10])
def test_labels_that_are_no_classes_are_refused(label):
    logits, labels = views(100)
    labels[3] = label
    with pytest.raises(ConfigError, match=f'networks.a: has 10 .* {label}'):
        weighed(logits, labels)


def test_a_perfect_teacher_leaves_nothing_to_gain():
    labels = np.arange(200) % 5
    perfect = (30 * np.eye(5)[labels]).astype(np.float16)
    other = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float16)
    found = weighed([perfect, other], labels)
    assert found['sentence'].startswith('dense guidance cannot pay here')
    assert found['teachers']['a']['nll_calibrated'] == 0
    assert np.isfinite(list(found['teacher_weights'].values())).all()


def test_its_numbers_are_those_of_the_functions(independent):
    found, logits, labels = independent
    weights, tau = stack(logits, labels)
    assert [*found['teacher_weights'].values()] == pytest.approx(
        weights, abs=1e-3)
    assert [*found['teacher_tau'].values()] == pytest.approx(tau, abs=1e-3)
    first = found['teachers']['a']
    assert first['nll'] == pytest.approx(
        nll(log_probs_of(logits[0]), labels), abs=1e-4)
    assert first['nll_calibrated'] == pytest.approx(
        nll(log_probs_of(logits[0], tau[0]), labels), abs=1e-4)
    assert first['calibration_error'] == pytest.approx(
        calibration_error(log_probs_of(logits[0]), labels), abs=1e-4)
    probs = np.mean([np.exp(log_probs_of(one)) for one in logits], 0)
    own = best_temperature(np.log(probs), labels)
    assert found['mean']['nll_calibrated'] == pytest.approx(
        nll(log_probs_of(np.log(probs), own), labels), abs=1e-4)


def test_what_is_lost_without_a_teacher(independent):
    """1 is all of the gain; it may be more without the best one."""
    found, logits, labels = independent
    stacked = as_stack(logits)
    least = found['stack']['nll_calibrated']
    gain = found['teachers']['b']['nll_calibrated'] - least
    for k, name in enumerate('abc'):
        others = np.delete(stacked, k, axis=0)
        without = nll(
            combined(others, fit(others, labels, np.ones(2))), labels)
        assert found['teachers'][name]['lost'] == pytest.approx(
            (without - least) / gain, abs=5e-3)
    lost = [one['lost'] for one in found['teachers'].values()]
    assert lost[1] > 1 > max(lost[0], lost[2]) > 0


def test_the_best_one_is_named_if_it_is_not_the_first(independent):
    found, _, _ = independent
    assert (found['first'], found['best']) == ('a', 'b')
    assert 'calibrated teacher b, which is better than the first, a (' in \
        found['sentence']
    table = format_table(found)
    assert 'gain over b' in table and 'gain over a' in table
    gain = found['stack']['gain']
    assert gain['first']['value'] > gain['best']['value'] > 0


def test_the_table_is_in_the_order_of_the_chain(independent):
    found, _, _ = independent
    lines = format_table(found).splitlines()
    names = [line.split('|')[1].strip() for line in lines if line[0] == '|']
    assert names == ['network', 'a', 'b', 'c', 'mean of all', 'stacked']


def test_the_lines_of_a_config_are_its_weights(independent):
    found, _, _ = independent
    for names in (('a', 'b', 'c', 's'), ('resnet-20', 'b', 'c', 'resnet-8')):
        *names, student = names
        text = format_config(
            dict(
                teacher_weights=dict(
                    zip(names, found['teacher_weights'].values())),
                teacher_tau=dict(zip(names, found['teacher_tau'].values()))),
            student, 'loss_kd')
        spaces = {}
        exec(text, spaces)
        stage = spaces['chain']['networks'][student]['stage']
        loss = stage['model']['distiller']['distill_losses']['loss_kd']
        assert loss['form'] == 'stacked' and [*loss['teacher_tau']] == [*names]
        assert [*loss['teacher_weights'].values()
                ] == [*found['teacher_weights'].values()]


def test_json_holds_all_of_it(independent):
    found, _, _ = independent
    assert json.loads(json.dumps(found)) == found
    assert plot_weighed(found)[:4] == b'\x89PNG'
