# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The comparisons of ``guidances.py``: pure data, nothing is run here.

A setting is a chain with images that are held out. First its teachers are
trained, in several ways; then the student, by one method after the other, from
their cached logits.
"""
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Sequence, Tuple

KD = 'model.distiller.distill_losses.loss_kd'


@dataclass(frozen=True)
class Setting:
    """A chain, and how long its networks train.

    Args:
        config (str): Below ``configs/dgkd``, without its ending.
        words (str): For people.
        names (tuple[str]): The teacher, the TAs and the student.
        options (Mapping[str, Any]): Other settings of the config, by dotted
            key. Defaults to an empty dict.
        seed (int): Is added to the seeds of the teachers. Defaults to 0.
        amp (bool): Whether in mixed precision. Defaults to True.
    """

    config: str
    words: str
    names: Tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    amp: bool = True

    @property
    def results(self) -> str:
        """The name of its files below ``configs/dgkd/results``."""
        return self.config + (f'_seed{self.seed}' if self.seed else '')

    @property
    def student(self) -> str:
        """The last network."""
        return self.names[-1]

    def places(self, run: 'Run') -> Sequence[int]:
        """The networks of a run, by their place."""
        return range(len(self.names) - 1)[run.networks]

    def seed_of(self, run: 'Run') -> int:
        """The seed of a run."""
        return run.seed + self.seed

    def teachers(self, method: 'Method') -> Tuple[str, ...]:
        """The teachers of a method, each by ``run/place``."""
        found = []
        for teacher in method.teachers:
            run, _, rest = teacher.partition('/')
            places = self.places(RUNS[run])
            some = {'*': places, 'last': places[-1:]}.get(rest, (rest, ))
            found += [f'{run}/{place}' for place in some]
        return tuple(found)


@dataclass(frozen=True)
class Run:
    """A training of teachers.

    Args:
        networks (slice): Which of the chain without its student, the largest
            first.
        guidance (str): ``chain.guidance``. Defaults to ``'none'``.
        given (Mapping[int, str]): For networks that are not trained here the
            run that trains them. Defaults to an empty dict.
        seed (int): Of the run; that of the setting is added to it. Defaults to
            0.
        folds (Mapping[int, int]): The fold that each network leaves out.
            Defaults to an empty dict.
        snapshots (tuple[float]): Those that the largest network keeps.
            Defaults to ().
        long (bool): Whether TAs train as long as the teacher. Defaults to
            False.
    """

    networks: slice
    guidance: str = 'none'
    given: Mapping[int, str] = field(default_factory=dict)
    seed: int = 0
    folds: Mapping[int, int] = field(default_factory=dict)
    snapshots: Tuple[float, ...] = ()
    long: bool = False


FOLDS = 4
_ALL, _TEACHER, _TAS = slice(None), slice(1), slice(1, None)
RUNS: Dict[str, Run] = {
    'dense':
    Run(_ALL, 'dense', snapshots=(0.5, 0.667, 0.833)),
    'takd':
    Run(_ALL, 'sequential', {
        0: 'dense',
        1: 'dense'
    }),
    'labels':
    Run(_TAS),
    'labels_long':
    Run(_TAS, long=True),
    # Each network of the chain without another fold, distilled from all.
    'dense_folds':
    Run(_ALL,
        'dense', {0: 'fold0'},
        folds={place: place % FOLDS
               for place in range(2 * FOLDS)}),
    **{
        f'seed{seed}': Run(_TEACHER, seed=seed)
        for seed in (1, 2, 3)
    },
    **{
        f'fold{fold}': Run(_TEACHER, seed=fold, folds={0: fold})
        for fold in range(FOLDS)
    },
}


@dataclass(frozen=True)
class Method:
    """How a student is taught.

    Args:
        words (str): For people.
        teachers (tuple[str]): ``run/place`` of each, the largest first:
            ``'dense/0'``; of a snapshot ``'dense/0@0.5'``, of all networks of
            a run ``'dense/*'``, and of its smallest ``'dense/last'``.
        options (Mapping[str, Any]): Settings of the config, by dotted key.
        equal (bool): Whether it has the total weight of KD. Defaults to True.
        weigh (str): How the weights of ``mmdgkd weigh`` are used:
            ``'stacked'`` or ``'averaged'``. Defaults to ``''``: not.
        baseline (str): The method from which it differs in one thing.
            Defaults to ``'kd'``.
        hooks (tuple[dict]): More hooks. Defaults to ().
    """

    words: str
    teachers: Tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    equal: bool = True
    weigh: str = ''
    baseline: str = 'kd'
    hooks: Tuple[Mapping[str, Any], ...] = ()

    @property
    def estimate(self) -> str:
        """What of ``mmdgkd weigh`` the student learns from.

        ``'stack'``, ``'mean'`` (of one teacher: that teacher), or ``''`` where
        it is no single estimate of weigh.
        """
        if self.weigh == 'stacked':
            return 'stack'
        changed = self.weigh or self.options or self.hooks
        return 'mean' if self.teachers and not changed else ''


_DENSE = ('dense/*', )
_SEEDS = ('dense/0', 'seed1/0', 'seed2/0', 'seed3/0')
_THREE_SEEDS = _SEEDS[:3]
_CHAIN = ('dense_folds/*', )
_FOLDS = tuple(f'fold{fold}/0' for fold in range(FOLDS))
_STANDARD = {
    'model.distiller.connectors.standard.type': 'mmrazor.StandardizeConnector',
    'model.distiller.loss_forward_mappings.loss_kd.preds_S.connector':
    'standard',
    'model.distiller.loss_forward_mappings.loss_kd.preds_T.connector':
    'standard',
    # The authors' weights: 0.1 of the labels, and 9 of KD at tau = 2.
    'model.task_loss_weight': 0.1,
    f'{KD}.loss_weight': 9.0,
}

METHODS: Dict[str, Method] = {
    'alone':
    Method('alone'),
    'kd':
    Method('KD', ('dense/0', ), baseline='alone'),
    **{
        f'kd_seed{seed}':
        Method(f'KD, teacher of run seed{seed}', (f'seed{seed}/0', ))
        for seed in (1, 2, 3)
    },
    'kd_best':
    Method('KD from the third network, the best teacher', ('dense/2', )),
    'kd_tau4':
    Method('KD, tau = 4', ('dense/0', ), {f'{KD}.tau': 4.0}),
    'takd':
    Method('TAKD', ('takd/last', )),
    'dgkd':
    Method('DGKD, averaged', _DENSE),
    'dgkd_paper':
    Method(
        "DGKD, the paper's form",
        _DENSE, {
            f'{KD}.form': 'paper',
        },
        equal=False,
        baseline='dgkd'),
    'stacked':
    Method('DGKD, stacked ‡', _DENSE, weigh='stacked', baseline='dgkd'),
    'weighted':
    Method(
        'DGKD, weighted by likelihood ‡',
        _DENSE,
        weigh='averaged',
        baseline='dgkd'),
    'label_gate':
    Method(
        'DGKD, label-aware gate',
        _DENSE, {f'{KD}.gate': dict(type='label', s=0.5)},
        baseline='dgkd'),
    'ca_mkd':
    Method(
        "DGKD, CA-MKD's gate",
        _DENSE, {f'{KD}.gate': dict(type='ca_mkd')},
        baseline='dgkd'),
    'curriculum':
    Method(
        'DGKD, curriculum',
        _DENSE,
        hooks=(dict(type='mmrazor.CurriculumHook', sigma=0.7), ),
        baseline='dgkd'),
    'standardized_kd':
    Method('KD of standardized logits', ('dense/0', ), _STANDARD, equal=False),
    'standardized':
    Method(
        'DGKD of standardized logits',
        _DENSE,
        _STANDARD,
        equal=False,
        baseline='standardized_kd'),
    'snapshots':
    Method('snapshots of the teacher',
           ('dense/0@0.5', 'dense/0@0.667', 'dense/0@0.833', 'dense/0')),
    'labels':
    Method(
        'TAs that are trained from labels alone', ('dense/0', 'labels/*'),
        baseline='dgkd'),
    'labels_stacked':
    Method(
        'the same, stacked ‡', ('dense/0', 'labels/*'),
        weigh='stacked',
        baseline='labels'),
    'labels_long':
    Method(
        'the same, trained as long as the teacher',
        ('dense/0', 'labels_long/*'),
        baseline='labels'),
    'kd_labels':
    Method('KD from the third network, trained from labels alone',
           ('labels/2', )),
    'chain_folds':
    Method('DGKD, each network without another fold', _CHAIN, baseline='dgkd'),
    'chain_folds_unseen':
    Method(
        'the same, half of the weight on who has not seen the image',
        _CHAIN, {f'{KD}.unseen_weight': 0.5},
        baseline='chain_folds'),
    'three_seeds':
    Method('three teachers of other seeds', _THREE_SEEDS),
    'seeds':
    Method('four teachers of other seeds', _SEEDS),
    'seeds_stacked':
    Method('the same, stacked ‡', _SEEDS, weigh='stacked', baseline='seeds'),
    'seeds_gate':
    Method(
        'the same, label-aware gate',
        _SEEDS, {f'{KD}.gate': dict(type='label', s=0.5)},
        baseline='seeds'),
    'bagged':
    Method('these four, each without another fold', _FOLDS, baseline='seeds'),
    'bagged_unseen':
    Method(
        'the same, half of the weight on who has not seen the image',
        _FOLDS, {f'{KD}.unseen_weight': 0.5},
        baseline='bagged'),
    'bagged_unseen_only':
    Method(
        'the same, all of the weight on who has not seen the image',
        _FOLDS, {f'{KD}.unseen_weight': 1.0},
        baseline='bagged'),
    'bagged_gate':
    Method(
        'these four, label-aware gate, not by folds',
        _FOLDS, {f'{KD}.gate': dict(type='label', s=0.5)},
        baseline='bagged'),
}

_PLAIN = ('plain10', 'plain8', 'plain6', 'plain4', 'plain2')
_RESNETS = ('resnet56', 'resnet32', 'resnet20', 'resnet14', 'resnet8')
_HEADLINE = ('resnet110', *_RESNETS)
_HELD_OUT = {'chain.holdout': 5000}

SETTINGS: Dict[str, Setting] = {
    'plain_10k':
    Setting('plain10_to_plain2_cifar100_10k',
            'plain 10-8-6-4-2, 10,000 images', _PLAIN),
    'plain_10k_seed4':
    Setting(
        'plain10_to_plain2_cifar100_10k',
        'plain 10-8-6-4-2, 10,000 images, teachers of seed 4',
        _PLAIN,
        seed=4),
    'plain':
    Setting('plain10_to_plain2_cifar100_own',
            'plain 10-8-6-4-2, 45,000 images', _PLAIN, _HELD_OUT),
    # Without bfloat16 a step with amp takes two to three times as long.
    'plain_seed4':
    Setting(
        'plain10_to_plain2_cifar100_own',
        'plain 10-8-6-4-2, 45,000 images, single precision, teachers of '
        'seed 4',
        _PLAIN,
        _HELD_OUT,
        seed=4,
        amp=False),
    'resnet56':
    Setting('resnet56_to_resnet8_cifar100_own',
            'ResNet 56-32-20-14-8, 45,000 images', _RESNETS, _HELD_OUT),
    'resnet56_short':
    Setting('resnet56_to_resnet8_cifar100_short',
            'ResNet 56-32-20-14-8, 45,000 images, short', _RESNETS, _HELD_OUT),
    'resnet56_to_resnet20_short':
    Setting('resnet56_to_resnet20_cifar100_short',
            'ResNet 56-44-32-20, 45,000 images, short',
            ('resnet56', 'resnet44', 'resnet32', 'resnet20'), _HELD_OUT),
    'resnet110':
    Setting('resnet110_to_resnet8_cifar100',
            'ResNet 110-56-32-20-14-8, 45,000 images', _HEADLINE, _HELD_OUT),
    'resnet110_short':
    Setting('resnet110_to_resnet8_cifar100_short',
            'ResNet 110-56-32-20-14-8, 45,000 images, short', _HEADLINE,
            _HELD_OUT),
}
