# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Every config that is shipped, on images at hand."""
import re
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdgkd.chain.runner import ChainRunner

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
NAMES = sorted(
    str(path.relative_to(CONFIGS)) for path in CONFIGS.glob('*/*.py')
    if path.parent.name != '_base_')


def test_all_that_the_issue_names_are_there():
    assert len(NAMES) == 132
    for method in ('dgkd', 'takd', 'kd'):
        for chain in ('resnet110_to_resnet8_cifar100',
                      'plain10_to_plain2_cifar100',
                      'resnet26_to_resnet8_cifar10',
                      'resnet20_to_resnet8_digits'):
            assert f'{method}/{chain}.py' in NAMES
    for recipe in ('crop', 'own', 'short'):
        for form in ('', '_stochastic'):
            assert (f'dgkd/plain10_to_plain2_cifar100_{recipe}{form}.py'
                    in NAMES)
    for form in ('pfeed', 'sfeed'):
        for data in ('resnet56_cifar100', 'resnet20_digits'):
            assert f'feed/{form}_{data}.py' in NAMES
    for method in ('kd', 'dgkd', 'dkd', 'dkd/standardized', 'dist', 'crd'):
        method, _, form = method.partition('/')
        name = '_'.join(filter(None, (form, 'resnet56_to_resnet20_cifar100')))
        assert f'{method}/{name}.py' in NAMES
        assert method in ('kd', 'dgkd') or f'{method}/{name}_dense.py' in NAMES
    assert 'feed/dgkd_resnet20_to_resnet8_digits.py' in NAMES
    for method in ('dgkd', 'kd'):
        for chain in ('wrn40_2_to_wrn16_2', 'vgg13_to_vgg8'):
            assert f'{method}/{chain}_cifar100.py' in NAMES
        for chain in ('resnet26_to_resnet8_svhn',
                      'wrn40_2_to_wrn16_2_tiny_imagenet'):
            assert f'{method}/{chain}.py' in NAMES
    for chain in ('resnet110_to_resnet32', 'wrn40_2_to_wrn16_2',
                  'vgg13_to_vgg8'):
        for method in ('kd/', 'dgkd/', 'dkd/', 'dkd/standardized_', 'crd/'):
            assert f'{method}{chain}_cifar100.py' in NAMES
    for method in ('takd', 'dgkd'):
        for form in ('cifar10', 'cifar100_7_tas'):
            assert f'{method}/plain10_to_plain2_{form}.py' in NAMES
    assert 'crd/resnet20_to_resnet8_digits.py' in NAMES
    for chain in ('resnet110_to_resnet8_cifar100',
                  'resnet20_to_resnet8_digits'):
        assert f'pruning/l1_{chain}.py' in NAMES
        assert f'pruning/dcff_{chain}.py' in NAMES
        assert f'pruning/fisher_{chain}.py' in NAMES
        assert f'pruning/dmcp_{chain}.py' in NAMES
        assert f'nas/spos_{chain}.py' in NAMES
        assert f'quantization/qat8_{chain}.py' in NAMES
        assert f'slimmable/joint_{chain}.py' in NAMES
        assert f'gslr/qat8_{chain}.py' in NAMES
    for chain in ('resnet20_to_resnet8_digits', 'resnet20_to_resnet8_cifar100',
                  'wrn40_4_cifar100', 'vgg13_cifar100'):
        assert f'onthefly/pacemaker_{chain}.py' in NAMES
    for data in ('digits', 'cifar100'):
        assert f'dafl/resnet20_to_resnet8_{data}.py' in NAMES
    for network, maps in dict(
            l1='feed',
            dcff='feed',
            qat8='feed',
            spos='feed',
            fisher='at',
            dmcp='at',
            joint='at').items():
        for heard in ('stochastic', 'dist', maps):
            assert (f'mixed/{network}_{heard}_resnet20_to_resnet8_digits.py'
                    in NAMES)
    assert 'mixed/resnet20_to_resnet8_cifar100.py' in NAMES
    for data in ('digits', 'cifar100'):
        for method in ('fewbit', 'gslr'):
            assert f'{method}/w2_resnet20_to_resnet8_{data}.py' in NAMES
        assert f'speq/w2a2_resnet20_to_resnet8_{data}.py' in NAMES


# The chains of one method are those of the others, with other teachers; what is
# pruned, quantized, searched or slimmable is trained in tests/engine, too.
QUICK = [
    name for name in NAMES if 'digits' in name and not name.startswith(
        ('feed/sfeed', 'pruning', 'quantization', 'nas', 'mixed', 'slimmable',
         'gslr', 'fewbit', 'speq', 'onthefly', 'born_again', 'mutual',
         'student_guided', 'byot')) or name.startswith('dgkd') and not any(
             word in name for word in
             ('stochastic', 'crop', 'own', 'short', 'resnet56', 'resnet32',
              'wrn', 'vgg', 'plain10_to_plain2_cifar10.', '7_tas', 'svhn'))
]

# Without the TAs that make a chain longer, but in no other way.
TAS = dict(
    resnet110_to_resnet8_cifar100=('resnet56', 'resnet32', 'resnet20'),
    resnet110_to_resnet32_cifar100_dense=('resnet56', ),
    resnet56_to_resnet20_cifar100_dense=('resnet44', ),
    wrn40_2_to_wrn16_2_cifar100_dense=('wrn34_2', 'wrn28_2'))


@pytest.fixture(scope='module')
def teachers():
    """The file of a teacher that an earlier test has trained."""
    return {}


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in NAMES
])
def test_it_trains_an_iteration_per_stage(name, on_digits, teachers, tmp_path):
    cfg = Config.fromfile(str(CONFIGS / name))
    size = 8 if 'digits' in name else 64 if 'tiny' in name else 32
    on_digits(cfg, size)
    if not name.startswith(('dgkd', 'slimmable', 'mutual')):
        # All of them are trained in the chains of DGKD.
        cfg.chain.networks.update({
            ta: None
            for chain, tas in TAS.items() if chain in name for ta in tas
        })
    networks = cfg.chain.networks
    teacher = next(filter(None, networks.values()))
    # What one of the same network by the same recipe has been trained to.
    key = str((size, teacher, cfg.optim_wrapper, cfg.get('param_scheduler'),
               cfg.train_cfg, cfg.train_dataloader))
    if len(networks) > 1 and key in teachers:
        teacher.ckpt_path = teachers[key]
    cfg.work_dir = str(tmp_path)
    runner = ChainRunner(cfg)
    ledger = runner.train()
    names = runner.chain.names
    given = names[:1] if 'ckpt_path' in teacher else []
    teachers[key] = runner.work.file_of(names[0])
    # FEED numbers networks of one architecture.
    assert names[0].split('_')[0] in Path(name).name
    assert names[-1].split('_')[0] in Path(name).name
    assert all(ledger[network]['state'] == 'done' for network in names
               if network not in given)
    counts = [len(ledger[network]['guides']) for network in names]
    if name.startswith('feed/pfeed'):
        assert counts == [0, 0, 0, 3]
    elif name.startswith(
        ('mixed/resnet20', 'mixed/joint', 'slimmable/student')):
        assert counts == [0, 1, 2, 3, 3, 3]
    elif name.startswith('onthefly'):
        # The TAs by the teacher, then the pacemaker, then the teacher again.
        assert counts == [0, 1, 1, 2, 1]
    elif name in ('byot/resnet56_cifar100.py', 'byot/resnet8_cifar100.py'):
        assert counts == [0]
    elif name.startswith('slimmable'):
        before = 1 if 'digits' in name else 2
        assert counts == [*range(before), *[before] * 3, before + 3]
    elif name.startswith(
        ('dgkd', 'feed/dgkd', 'pruning', 'quantization', 'nas', 'mixed',
         'gslr', 'fewbit', 'speq', 'crd/resnet20', 'dafl', 'student_guided',
         'byot')) or 'dense' in name:
        assert counts == list(range(len(names)))
        assert len(names) > 2
    elif name.startswith('mutual'):
        assert counts == ([0, 0] if 'resnet8_' in name[:16] else
                          [0, 1, 1, 1, 4] if 'cifar100' in name else [0, 1, 1])
    elif name.startswith(('takd', 'feed/sfeed', 'born_again')):
        assert counts == [0] + [1] * (len(names) - 1)
    else:
        assert counts == [0, 1]


# The chains of one method are those of the others, with other teachers.
@pytest.mark.parametrize('name', [
    name if name.startswith('dgkd') or 'digits' in name else pytest.param(
        name, marks=pytest.mark.slow) for name in NAMES
])
def test_it_is_short_and_names_its_objective(name):
    text = (CONFIGS / name).read_text()
    assert len(text.splitlines()) <= 40
    cfg = Config.fromfile(str(CONFIGS / name))
    if name.startswith(('dgkd', 'takd', 'kd')):
        loss = cfg.model.distiller.distill_losses.loss_kd
        assert loss.form in ('released', 'paper', 'averaged')
    if name.startswith(
        ('dgkd', 'feed', 'fewbit', 'gslr', 'speq', 'mixed', 'onthefly',
         'slimmable', 'pruning', 'quantization', 'born_again', 'mutual',
         'student_guided', 'byot', 'crd/resnet20', 'dafl')) or 'dense' in name:
        assert 'Objective: ' in text
    if 'stochastic' in name:
        student = [
            name for name, entry in cfg.chain.networks.items()
            if 'width_of' not in entry
        ][-1]
        assert list(n for n, entry in cfg.chain.networks.items()
                    if 'model' in entry.get('stage', {})) == [student]
    if name.startswith('mixed') and 'dist' in name:
        assert list(cfg.model.distiller.edges) == ['default']
        assert not cfg.model.distiller.distill_losses


def test_the_readme_leads_to_every_method():
    cards = {card.parent.name for card in CONFIGS.glob('*/README.md')}

    def rows_of(page, heading):
        """By card the trials in the table below a heading."""
        text = page.read_text()
        table = text[text.index(f'\n## {heading}\n') + 4:].split('\n## ')[0]
        return {
            card: re.findall(r'`(\S+\.py)` \|$', row)
            for row in table.splitlines() if row.startswith('| [')
            for card in re.findall(r'\| \[[^]]*\]\((?:configs/)?(\w+)/', row)
        }

    first = rows_of(CONFIGS.parent / 'README.md', 'Methods')
    rows = rows_of(CONFIGS / 'README.md', 'All methods')
    assert set(rows) == cards and len(first) == 6
    assert '(configs/README.md#all-methods)' in (CONFIGS.parent /
                                                 'README.md').read_text()
    for card, trials in rows.items():
        assert set(trials) <= set(NAMES)
        # These two are for CIFAR-100 only.
        assert len(trials) == (card not in ('dkd', 'dist'))
        assert first.get(card, trials) == trials


def test_the_data_is_normalized_as_the_papers_say():
    for data, mean, std in (('cifar100_bs128', (.507, .487, .441), (.267, .256,
                                                                    .276)),
                            ('cifar10_bs128', (.507, .487, .441), (.267, .256,
                                                                   .276))):
        cfg = Config.fromfile(str(CONFIGS / '_base_/datasets' / f'{data}.py'))
        scaled = [x / 255 for x in cfg.data_preprocessor.mean]
        assert scaled == pytest.approx(mean, abs=1e-6)
        scaled = [x / 255 for x in cfg.data_preprocessor.std]
        assert scaled == pytest.approx(std, abs=1e-6)
