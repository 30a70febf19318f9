# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""A tiny chain for each method, for the contract that all of them keep."""
import copy
from dataclasses import dataclass
from typing import Any, Callable, Dict, Tuple

from mmengine.config import Config
from toy import Toy, ToyScaled  # noqa: F401  (registers them)


@dataclass(frozen=True)
class Trial:
    """How a method is tried.

    Attributes:
        config (str): A shipped config on the digits, below ``configs``.
        name (str): The network that the method trains in it.
        method (str): The class of the method, if it has one.
        teachers (tuple[str]): The networks before it that are kept: plain
            ones, of which each gets the weights of a trained ResNet-8.
        change (Callable): Makes the chain tiny.
        epochs (int): Of each stage, of two iterations.
        kills (tuple[int]): The iterations before which the stage is killed.
        ranks (int): Processes that may train it.
        logits_off (float): How far logits may be off in an export, as a share
            of the largest; more where the last bit of a sum decides between
            two levels.
    """

    config: str
    name: str
    method: str = ''
    teachers: Tuple[str, ...] = ('resnet14', )
    change: Callable[[Config], Any] = lambda cfg: None
    epochs: int = 2
    kills: Tuple[int, ...] = (3, )
    ranks: int = 2
    logits_off: float = 1e-4


def _model(**changes: Any) -> Callable[[Config], Any]:
    """Change the model of the network that the method trains."""

    def change(cfg: Config) -> None:
        network = list(cfg.chain.networks.values())[-2]
        network.model.update(copy.deepcopy(changes))

    return change


def _dmcp(cfg: Config) -> None:
    network = cfg.chain.networks.resnet8_pruned
    network.model.update(search_epochs=1, arch_start_train=0)
    network.stage.train_cfg.val_begin = 2


def _spos(cfg: Config) -> None:
    stage = cfg.chain.networks.resnet8_searched.stage
    stage.train_dataloader.dataset.indices = 64
    stage.train_cfg.val_begin = 2
    hook = stage.custom_hooks[-1]
    hook.update(
        epoch=1,
        max_epochs=1,
        num_candidates=2,
        top_k=1,
        num_mutation=1,
        num_crossover=1)
    hook.dataloader.dataset.indices = -32


def _dafl(cfg: Config) -> None:
    cfg.model.generator.hidden_channels = 8
    for name in ('resnet8', 'last'):
        entry = cfg.chain.networks[name]
        entry.stage = copy.deepcopy(cfg.chain.networks.resnet8.stage)
        entry.stage.train_dataloader.batch_size = 16
        entry.stage.train_dataloader.dataset.length = 32


def _crd(cfg: Config) -> None:
    edge = cfg.model.distiller.edges.default
    edge.distill_losses.loss_crd.update(sample_n=64, neg_num=16)


def _mutual(cfg: Config) -> None:
    cfg.chain.networks.resnet14.model.architecture.backbone.depth = 8


def _slimmable(cfg: Config) -> None:
    networks = cfg.chain.networks
    networks.resnet14.model.architecture.backbone.depth = 8
    networks.resnet14.model.widths = [0.75, 1.0]
    networks.resnet14_w875 = None


def _generations(cfg: Config) -> None:
    for network in cfg.chain.networks.values():
        if network is not None:
            network.model.backbone.depth = 8


def _pacemaker(cfg: Config) -> None:
    members = ['resnet20', 'resnet14']
    cfg.chain.guidance = dict(
        resnet8_row_paced=members, last=['resnet8_row_paced'])
    cfg.model.distiller.ensembles = dict(pacemaker=members)


def _learned_steps(cfg: Config) -> None:
    quantizer = cfg.chain.networks.resnet8_int8.model.quantizer
    quantizer.global_qconfig.update(
        w_observer=dict(type='mmrazor.LSQPerChannelObserver'),
        a_observer=dict(type='mmrazor.LSQObserver'),
        w_fake_quant=dict(type='mmrazor.LearnableFakeQuantize'),
        a_fake_quant=dict(type='mmrazor.LearnableFakeQuantize'))


def _toy(cfg: Config) -> None:
    # As a user of a package outside of this one has it.
    cfg.custom_imports.imports.append('toy')
    networks = cfg.chain.networks
    networks.resnet8 = dict(
        model=dict(
            type='mmrazor.ToyScaled',
            architecture=copy.deepcopy(networks.last.model),
            start=.5))


def _snapshots(cfg: Config) -> None:
    cfg.chain.networks.resnet8.snapshots = [0.5]


_CHAIN = 'resnet20_to_resnet8_digits.py'
TRIALS: Dict[str, Trial] = {
    'dgkd':
    Trial(
        'dgkd/resnet20_to_resnet8_digits_stochastic.py',
        'resnet8',
        teachers=('resnet20', 'resnet14')),
    'born_again':
    Trial(
        'born_again/resnet20_digits.py',
        'resnet20_1',
        teachers=('resnet20_0', ),
        change=_generations),
    'byot':
    Trial(f'byot/{_CHAIN}', 'resnet8', 'BYOT'),
    'crd':
    Trial(f'crd/{_CHAIN}', 'resnet8', 'CRD', change=_crd),
    'curriculum':
    Trial(
        f'curriculum/{_CHAIN}',
        'resnet8',
        'Curriculum',
        teachers=('resnet20', 'resnet14')),
    'dafl':
    Trial(f'dafl/{_CHAIN}', 'resnet8', 'DAFL', ('resnet20', ), _dafl),
    'dcff':
    Trial(f'pruning/dcff_{_CHAIN}', 'resnet8_pruned', 'Pruning',
          ('resnet8', )),
    'dmcp':
    Trial(
        f'pruning/dmcp_{_CHAIN}',
        'resnet8_pruned',
        'DMCPMethod', ('resnet8', ),
        _dmcp,
        kills=(1, 3),
        ranks=1),
    'dskd':
    Trial(f'dskd/{_CHAIN}', 'resnet8'),
    'feed':
    Trial(f'feed/dgkd_{_CHAIN}', 'resnet8'),
    'fisher':
    Trial(
        f'pruning/fisher_{_CHAIN}',
        'resnet8_pruned',
        'GroupFisher', ('resnet8', ),
        _model(interval=1, target_flops_ratio=.97),
        ranks=1),
    'gslr':
    Trial(
        f'gslr/w2_{_CHAIN}',
        'resnet8_w2',
        'LowBit', ('resnet8', ),
        logits_off=.05),
    'l1':
    Trial(
        f'pruning/l1_{_CHAIN}',
        'resnet8_pruned',
        'Pruning',
        ('resnet8', ),
        _model(prune_times=3),
        epochs=3,
        # Before the second of three prunings, of which the last one is always
        # to the target.
        kills=(1, )),
    'l1_feed':
    Trial(f'mixed/l1_feed_{_CHAIN}', 'resnet8_pruned', 'Pruning',
          ('resnet8', )),
    'low_bit':
    Trial(
        f'fewbit/w2_{_CHAIN}',
        'resnet8_w2',
        'LowBit', ('resnet8', ),
        _model(act_bits=2),
        logits_off=.05),
    'low_bit_optimal':
    Trial(
        f'fewbit/w2_{_CHAIN}',
        'resnet8_w2',
        'LowBit', ('resnet8', ),
        _model(act_bits=4, step='optimal'),
        logits_off=.05),
    'mutual':
    Trial(f'mutual/{_CHAIN}', 'resnet14', 'Mutual', ('resnet20', ), _mutual),
    'one_shot':
    Trial(f'one_shot/{_CHAIN}', 'resnet8_pruned', 'OneShot', ('resnet8', )),
    'pacemaker':
    Trial(
        'onthefly/pacemaker_resnet20_to_resnet8_digits.py',
        'resnet8_row_paced',
        teachers=('resnet20', 'resnet14'),
        change=_pacemaker),
    'qat':
    Trial(
        f'quantization/qat8_{_CHAIN}',
        'resnet8_int8',
        'QAT', ('resnet8', ),
        logits_off=.05),
    'qat_learned':
    Trial(
        f'quantization/qat8_{_CHAIN}',
        'resnet8_int8',
        'QAT',
        ('resnet8', ),
        _learned_steps,
        # MMRazor's learned steps are of one process.
        ranks=1,
        logits_off=.05),
    'slimmable':
    Trial(f'slimmable/joint_{_CHAIN}', 'resnet14', 'Slimmable', ('resnet20', ),
          _slimmable),
    'snapshots':
    Trial(f'snapshots/{_CHAIN}', 'resnet8', 'Snapshots', ('resnet20', ),
          _snapshots),
    'speq':
    Trial(
        f'speq/w2a2_{_CHAIN}',
        'resnet8_w2a2',
        'LowBit', ('resnet8', ),
        logits_off=.05),
    'spos':
    Trial(
        f'nas/spos_{_CHAIN}',
        'resnet8_searched',
        'SPOSMethod',
        change=_spos,
        kills=(1, 3)),
    'student_guided':
    Trial(f'student_guided/{_CHAIN}', 'resnet8'),
    'student_guided_features':
    Trial(f'student_guided/features_{_CHAIN}', 'resnet8'),
    'toy':
    Trial(f'dgkd/{_CHAIN}', 'resnet8', 'Toy', change=_toy),
}


def trial_config(trial: Trial, cfg: Config, teacher: str) -> Config:
    """The chain of a trial: trained teachers, its network, and one after it.

    Args:
        trial (Trial): The trial.
        cfg (Config): Its shipped config; it is changed.
        teacher (str): The file of a trained ResNet-8.
    """
    networks = cfg.chain.networks
    names = list(networks)
    plain = copy.deepcopy(networks[trial.teachers[0]].model)
    plain.backbone.depth = 8
    for name in names[:names.index(trial.name)]:
        if name in trial.teachers:
            networks[name] = dict(
                model=copy.deepcopy(plain), ckpt_path=teacher)
        else:
            networks[name] = None
    for name in names[names.index(trial.name) + 1:]:
        if not {'width_of', 'member_of'} & set(networks[name] or ()):
            networks[name] = None
    networks.last = dict(model=plain)
    trial.change(cfg)
    cfg.randomness = dict(seed=0)
    # A checkpoint after each iteration: also in the middle of an epoch.
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=1)
    return cfg
