# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The measurements of ``measure.py``: pure data, nothing is run here.

Each trains a ResNet-8 on CIFAR-100 by one method, for as many epochs as its
baseline, all on the first 20,000 training images. The teacher, a ResNet-20, is
trained once, with seed 0, and its logits are cached for all.
"""
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Tuple

EPOCHS = 10
# The first training images.
IMAGES = 20000
_TEACHER = dict(resnet20='teacher/resnet20')
_SHORT = 'resnet20_to_resnet8_cifar100.py'
_LOSSES = dict(dkd='DKD', dist='DIST', crd='CRD', feed='FEED', dskd='DSKD')
_OPTIONS = dict(crd={
    'model.distiller.edges.default.distill_losses.loss_crd.sample_n':
    IMAGES
})
_TEN = 'dafl/resnet20_to_resnet8_ten_classes_cifar100.py'
_ALL_IMAGES = {'train_dataloader.dataset.indices': None}
_GENERATOR_LR = ('chain.networks.resnet8.stage.optim_wrapper.generator.'
                 'optimizer.lr')


@dataclass(frozen=True)
class Measurement:
    """How a network is trained.

    Args:
        config (str): Below ``configs``.
        words (str): The method, for people.
        baseline (str): The measurement that it is compared with; ``''``:
            none. Defaults to ``''``.
        network (str): The network that is measured. Defaults to
            ``'resnet8'``.
        given (Mapping[str, str]): For networks that are not trained again the
            measurement that trains them, and their name there. It is that of
            the same seed or, if it has one alone, of that. Defaults to an
            empty dict.
        left_out (tuple[str]): Networks of the config that are not trained.
            Defaults to ().
        epochs (int): Of each stage. Defaults to 10.
        seeds (tuple[int], optional): Defaults to None: those asked for.
        options (Mapping[str, Any]): Other settings of the config, by dotted
            key; ``{seed}`` is the seed. Defaults to an empty dict.
    """

    config: str
    words: str
    baseline: str = ''
    network: str = 'resnet8'
    given: Mapping[str, str] = field(default_factory=dict)
    left_out: Tuple[str, ...] = ()
    epochs: int = EPOCHS
    seeds: Tuple[int, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def card(self) -> str:
        """The folder of its method."""
        return self.config.split('/')[0]


def _low_bit(config: str, words: str, **more: Any) -> Measurement:
    name = 'resnet8_w2a2' if config.startswith('speq') else 'resnet8_w2'
    return Measurement(
        config,
        words,
        network=name,
        given=dict(_TEACHER, resnet8='kd/resnet8'),
        left_out=('resnet14', ),
        **more)


MEASUREMENTS: Dict[str, Measurement] = {
    'teacher':
    Measurement(
        f'kd/{_SHORT}',
        'ResNet-20, alone',
        network='resnet20',
        left_out=('resnet8', ),
        epochs=2 * EPOCHS,
        seeds=(0, )),
    'alone':
    Measurement(f'kd/{_SHORT}', 'alone', left_out=('resnet20', )),
    'kd':
    Measurement(f'kd/{_SHORT}', 'KD', 'alone', given=_TEACHER),
    **{
        name:
        Measurement(
            f'{name}/{_SHORT}',
            words,
            'kd',
            given=_TEACHER,
            options=_OPTIONS.get(name, {}))
        for name, words in _LOSSES.items()
    },
    'fitnet':
    Measurement(
        f'feed/fitnet_{_SHORT}', 'FitNet, to compare', 'kd', given=_TEACHER),
    'student_guided':
    Measurement(
        f'student_guided/{_SHORT}',
        'student-guided, on logits',
        'kd',
        given=_TEACHER,
        left_out=('resnet14', )),
    'student_guided_features':
    Measurement(
        f'student_guided/features_{_SHORT}',
        'student-guided, as published',
        'kd',
        given=_TEACHER,
        left_out=('resnet14', )),
    'byot':
    Measurement('byot/resnet8_cifar100.py', 'BYOT', 'alone'),
    'mutual':
    Measurement('mutual/resnet8_cifar100.py', 'mutual learning of two',
                'alone'),
    'born_again':
    Measurement(
        'born_again/resnet8_cifar100.py',
        'born-again, the second generation',
        'alone',
        network='resnet8_1',
        given=dict(resnet8_0='alone/resnet8'),
        left_out=('resnet8_2', 'resnet8_3'),
        # It starts from other weights.
        options={'chain.networks.resnet8_1.stage.randomness.seed':
                 '10{seed}'}),
    'w2':
    _low_bit(f'fewbit/w2_{_SHORT}', 'ternary weights'),
    'gslr':
    _low_bit(
        f'gslr/w2_{_SHORT}',
        'ternary weights, teachers that fade (GSLR)',
        baseline='w2'),
    'w2a2':
    _low_bit(
        f'speq/w2a2_{_SHORT}',
        'ternary weights, 2-bit activations',
        options={
            'chain.networks.resnet8_w2a2.model.type': 'mmrazor.FewBitNetwork'
        }),
    'speq':
    _low_bit(f'speq/w2a2_{_SHORT}', 'SPEQ', baseline='w2a2'),
    'row_kd':
    Measurement(
        f'kd/{_SHORT}',
        'ResNet-8 of rows, KD for twice as long',
        given=_TEACHER,
        epochs=2 * EPOCHS,
        options={
            'chain.networks.resnet8.model.backbone.conv_cfg.type':
            'mmrazor.RowConv'
        }),
    'pacemaker_tas':
    Measurement(
        f'onthefly/pacemaker_{_SHORT}',
        'ResNet-14 of rows, KD; one of the TAs of the pacemaker',
        network='resnet14_row',
        given=_TEACHER,
        left_out=('resnet8_row_paced', 'resnet8_row'),
        seeds=(0, ),
        # As there, without those that are left out.
        options={
            'chain.guidance': 'direct',
            'chain.order': None,
            'model.distiller.ensembles': None
        }),
    'pacemaker':
    Measurement(
        f'onthefly/pacemaker_{_SHORT}',
        'ResNet-8 of rows, pacemaker and then KD',
        'row_kd',
        network='resnet8_row',
        given=dict(
            _TEACHER,
            resnet14='pacemaker_tas/resnet14',
            resnet14_row='pacemaker_tas/resnet14_row')),
}
MEASUREMENTS['teacher_ten'] = Measurement(
    _TEN,
    'ResNet-20 on ten classes, alone',
    network='resnet20',
    left_out=('resnet8', ),
    epochs=4 * EPOCHS,
    seeds=(0, ),
    options=_ALL_IMAGES)
for _name, _words, _config, _baseline, _lr in (
    ('noise_ten', 'KD on images of a generator that learns nothing', _TEN, '',
     0.), ('dafl_ten', 'DAFL on ten classes', _TEN, 'noise_ten', 1e-3),
    ('dafl_statistics_ten', 'DAFL and the statistics of the training images',
     _TEN.replace('/', '/statistics_'), 'dafl_ten', 1e-3)):
    MEASUREMENTS[_name] = Measurement(
        _config,
        _words,
        _baseline,
        given=dict(resnet20='teacher_ten/resnet20'),
        epochs=2 * EPOCHS,
        options={
            **_ALL_IMAGES, _GENERATOR_LR: _lr
        })
for _percent in (50, 90, 95, 98):
    for _name, _criterion, _baseline in (('magnitude', 'magnitude', ''),
                                         ('one_shot', 'context',
                                          f'magnitude_{_percent}')):
        MEASUREMENTS[f'{_name}_{_percent}'] = Measurement(
            f'one_shot/{_SHORT}',
            f'{_percent} % of the weights pruned by {_criterion}',
            _baseline,
            network='resnet8_pruned',
            given=dict(_TEACHER, resnet8='kd/resnet8'),
            left_out=('resnet14', ),
            epochs=EPOCHS // 2,
            options={
                'chain.networks.resnet8_pruned.model.sparsity': _percent / 100,
                'chain.networks.resnet8_pruned.model.criterion': _criterion,
            })
