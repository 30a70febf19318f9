# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The plan of the experiments: the runs and their teachers."""
import pytest
from _experiments import METHODS, SETTINGS, plan_runs

PLAIN = ('plain10', 'plain8', 'plain6', 'plain4', 'plain2')
RELEASED, OWN = SETTINGS['released-none'], SETTINGS['own-crop_flip']


def by_name(setting=RELEASED, names=PLAIN, **settings):
    return {run.name: run for run in plan_runs(setting, names, **settings)}


def test_shared_networks_are_trained_once():
    runs = by_name()
    trained = [(run.method, name) for run in runs.values()
               for name in run.trained if name != 'plain2']
    assert trained == [('alone', 'plain10'), ('dgkd', 'plain8'),
                       ('dgkd', 'plain6'), ('dgkd', 'plain4'),
                       ('takd', 'plain6'), ('takd', 'plain4')]
    assert sum('plain2' in run.trained for run in runs.values()) == 7 * 3


def test_each_method_has_its_own_teachers():
    runs = by_name()
    assert runs['alone_seed1'].given == {}
    assert runs['kd_seed1'].given == {'plain10': 'teacher'}
    assert runs['takd_seed1'].given == {
        'plain10': 'teacher',
        'plain8': 'dgkd_tas',
        'plain6': 'takd_tas',
        'plain4': 'takd_tas'
    }
    for method in ('dgkd', 'dgkd_stochastic'):
        assert runs[f'{method}_seed1'].given == {
            'plain10': 'teacher',
            'plain8': 'dgkd_tas',
            'plain6': 'dgkd_tas',
            'plain4': 'dgkd_tas'
        }


@pytest.mark.parametrize('setting, weights', [
    (RELEASED, dict(kd=1, takd=1, dgkd=4, dgkd_stochastic=3)),
    (OWN, dict(kd=1, takd=1, dgkd=1, dgkd_stochastic=1)),
])  # yapf: disable
def test_the_total_weight_of_the_teachers(setting, weights):
    runs = by_name(setting)
    assert runs['alone_seed0'].kd_weight is None
    for method, weight in weights.items():
        assert runs[f'{method}_seed0'].kd_weight == weight


def test_the_control_has_the_weight_of_dgkd():
    runs = by_name()
    for method in ('kd', 'takd'):
        run = runs[f'{method}_equal_weight_seed2']
        assert run.kd_weight == runs['dgkd_seed2'].kd_weight == 4
        (key, value), = run.options.items()
        assert value == 4 and key.endswith(
            'plain2.stage.model.distiller.'
            'distill_losses.loss_kd.loss_weight')
        assert run.given == runs[f'{method}_seed2'].given
    # There all have the same weight as it is.
    assert not any('equal' in name for name in by_name(OWN))


def test_fewer_assistants_are_chains_of_their_own():
    runs = by_name(ablations=True, seeds=[0])
    assert runs['takd_tas_2_seed0'].given == {
        'plain10': 'teacher',
        'plain8': 'dgkd_tas',
        'plain6': 'takd_tas'
    }
    assert list(runs['dgkd_tas_1_seed0'].given) == ['plain10', 'plain8']
    assert runs['dgkd_tas_1_seed0'].kd_weight == 2
    assert runs['dgkd_stochastic_keep_0.25_seed0'].kd_weight == 1


def test_every_run_comes_after_those_that_it_needs():
    for setting in SETTINGS.values():
        done = set()
        for run in plan_runs(setting, PLAIN, ablations=True):
            assert set(run.given.values()) <= done
            assert set(run.networks) == {*run.given, *run.trained}
            # They become settings of a config, by dotted key.
            assert all('.' in key for key in run.options)
            done.add(run.name)
        assert len(done) == len(plan_runs(setting, PLAIN, ablations=True))


def test_chosen_methods_and_seeds():
    runs = by_name(methods=['alone', 'kd'], seeds=[3])
    assert list(runs) == [
        'teacher', 'alone_seed3', 'kd_seed3', 'kd_equal_weight_seed3'
    ]
    # TAKD's first TA is DGKD's; the others are not needed for it.
    assert by_name(methods=['takd'])['dgkd_tas'].trained == ('plain8', )
    assert list(by_name(methods=['alone'], seeds=[0])) == ['alone_seed0']


def test_a_chain_of_three():
    runs = by_name(names=('t', 'a', 's'), seeds=[0])
    assert 'takd_tas' not in runs
    assert runs['takd_seed0'].given == {'t': 'teacher', 'a': 'dgkd_tas'}
    assert runs['takd_seed0'].method in METHODS
