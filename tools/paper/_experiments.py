# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The experiments of ``reproduce.py``: pure data, nothing is run here.

A *setting* is a chain with its recipe and data. In each, all methods share the
teacher, and DGKD and TAKD the first TA; the other TAs of either are trained
once, with seed 0. The student is trained anew for each method and seed.
"""
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

# Of the paper, by their keys in mmdgkd.report.methods.METHOD_STYLES.
METHODS = ('alone', 'kd', 'takd', 'dgkd', 'dgkd_stochastic')
# Settings of a student's stage, by its name.
LOSS_WEIGHT = ('chain.networks.{}.stage.model.distiller.distill_losses.'
               'loss_kd.loss_weight')
CONNECTOR = 'chain.networks.{}.stage.model.distiller.connectors.drop'


@dataclass(frozen=True)
class Setting:
    """A chain with its recipe and data.

    Args:
        name (str): Its name, and that of its folders.
        config (str): The DGKD config, without its ending.
        recipe (str): ``'released'``, ``'own'`` or ``'short'``.
        augmentation (str): ``'none'`` or ``'crop_flip'``.
        dataset (str): Name of the data set.
        loss_weight (float): The weight of one teacher's KD.
        averaged (bool): Whether all teachers together have that weight.
            Defaults to False.
    """

    name: str
    config: str
    recipe: str
    augmentation: str
    dataset: str = 'cifar100'
    loss_weight: float = 1.0
    averaged: bool = False

    @property
    def chain(self) -> str:
        """Name of the chain, and of the folder of its results."""
        return self.config.split('_cifar')[0] + f'_{self.dataset}'


_PLAIN = 'plain10_to_plain2_cifar100'
SETTINGS = {
    setting.name: setting
    for setting in (
        Setting('released-none', _PLAIN, 'released', 'none'),
        Setting('released-crop_flip', f'{_PLAIN}_crop', 'released',
                'crop_flip'),
        Setting(
            'own-crop_flip',
            f'{_PLAIN}_own',
            'own',
            'crop_flip',
            loss_weight=0.9,
            averaged=True),
        Setting(
            'short-crop_flip',
            f'{_PLAIN}_short',
            'short',
            'crop_flip',
            loss_weight=0.9,
            averaged=True),
        Setting('resnet110', 'resnet110_to_resnet8_cifar100_released',
                'released', 'crop_flip'),
        Setting(
            'resnet26',
            'resnet26_to_resnet8_cifar10',
            'released',
            'crop_flip',
            dataset='cifar10'),
    )
}


@dataclass(frozen=True)
class Run:
    """One command of ``tools/train.py`` in a work dir of its own.

    Args:
        name (str): Its folder.
        method (str): One of :data:`METHODS`.
        seed (int): Of weights and order; the views are the same for all.
        networks (tuple[str]): Those of its chain.
        trained (tuple[str]): Those that it trains.
        given (dict[str, str]): For each of the others the run that trains it.
            Defaults to an empty dict.
        variant (str, optional): Of the method. Defaults to None.
        options (dict): Settings of the config, by dotted key.
            Defaults to an empty dict.
        kd_weight (float, optional): The weight of all teachers of the student
            together, in units of one's. Defaults to None: no teacher.
    """

    name: str
    method: str
    seed: int
    networks: Tuple[str, ...]
    trained: Tuple[str, ...]
    given: Dict[str, str] = field(default_factory=dict)
    variant: Optional[str] = None
    options: Dict[str, Any] = field(default_factory=dict)
    kd_weight: Optional[float] = None


def plan_runs(setting: Setting,
              names: Sequence[str],
              methods: Sequence[str] = METHODS,
              seeds: Sequence[int] = (0, 1, 2),
              ablations: bool = False) -> List[Run]:
    """All runs of a setting, each after those whose networks it needs.

    Args:
        setting (Setting): It.
        names (Sequence[str]): The networks of its chain, the teacher first.
        methods (Sequence[str]): Which; the control, KD and TAKD with DGKD's
            total weight, comes with those two. Defaults to all.
        seeds (Sequence[int]): Of the student. Defaults to (0, 1, 2).
        ablations (bool): Also fewer TAs, and other survival probabilities.
            Defaults to False.
    """
    names = tuple(names)
    teacher, student, assistants = names[0], names[-1], names[1:-1]
    dense = {teacher: 'teacher', **dict.fromkeys(assistants, 'dgkd_tas')}
    sequential = dict(dense, **dict.fromkeys(assistants[1:], 'takd_tas'))
    runs = []
    if set(methods) - {'alone'}:
        # It has no teacher, so all its views can be new.
        runs.append(
            Run('teacher',
                'alone',
                0, (teacher, ), (teacher, ),
                options={'chain.views.num_views': None}))
    if {'takd', 'dgkd', 'dgkd_stochastic'} & set(methods):
        # TAKD's first TA is DGKD's.
        trained = assistants if {'dgkd', 'dgkd_stochastic'
                                 } & set(methods) else assistants[:1]
        runs.append(
            Run('dgkd_tas', 'dgkd', 0, (teacher, *trained), trained,
                {teacher: 'teacher'}))
    if 'takd' in methods and assistants[1:]:
        runs.append(
            Run('takd_tas', 'takd', 0, names[:-1], assistants[1:], {
                teacher: 'teacher',
                assistants[0]: 'dgkd_tas'
            }))
    chains = dict(
        alone={},
        kd={teacher: 'teacher'},
        takd=sequential,
        dgkd=dense,
        dgkd_stochastic=dense)

    def add(method: str,
            seed: int,
            variant: Optional[str] = None,
            tas: int = len(assistants),
            **options: Any) -> None:
        kept = {teacher, *assistants[:tas]}
        given = {
            name: run
            for name, run in chains[method].items() if name in kept
        }
        weight = len(given) if method.startswith('dgkd') else min(
            1, len(given))
        if setting.averaged:
            weight = min(1, weight)
        if variant == 'equal_weight':
            weight = len(dense)
            options = {
                LOSS_WEIGHT.format(student): weight * setting.loss_weight
            }
        survival = options.pop('survival', 1 - 1 / len(dense))
        if method == 'dgkd_stochastic' and not setting.averaged:
            weight *= survival
        runs.append(
            Run('_'.join(filter(None, (method, variant, f'seed{seed}'))),
                method, seed, (*given, student), (student, ), given, variant,
                options, weight or None))

    for seed in seeds:
        for method in methods:
            add(method, seed)
    if not setting.averaged:
        for seed in seeds:
            for method in ('kd', 'takd'):
                if method in methods:
                    add(method, seed, 'equal_weight')
    for seed in seeds if ablations else ():
        for tas in range(1, len(assistants)):
            for method in ('takd', 'dgkd'):
                if method in methods:
                    add(method, seed, f'tas_{tas}', tas)
        if 'dgkd_stochastic' in methods:
            for keep in (0.25, 0.5):
                drop = CONNECTOR.format(student)
                add(
                    'dgkd_stochastic', seed, f'keep_{keep}', **{
                        'survival': keep,
                        f'{drop}.mode': 'bernoulli',
                        f'{drop}.keep_prob': keep
                    })
    return runs
