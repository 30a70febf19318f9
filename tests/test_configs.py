# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Every config that is shipped, on images at hand."""
import re
from pathlib import Path

import pytest
from mmengine.config import Config, ConfigDict
from mmengine.fileio import load

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.chain.stage_config import stage_config

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
NAMES = sorted(
    str(path.relative_to(CONFIGS)) for path in CONFIGS.glob('*/*.py')
    if path.parent.name != '_base_')

INDEX = load(str(CONFIGS.parent / 'model-index.yml'))['Import']
METAFILES = {path: load(str(CONFIGS.parent / path)) for path in INDEX}
MODELS = {
    model['Config']: model
    for file in METAFILES.values()
    for model in file['Models']
}
DATA = dict(
    CIFAR10='CIFAR-10',
    CIFAR100='CIFAR-100',
    Digits='scikit-learn digits',
    ImageNet='ImageNet-1k',
    SVHN='SVHN',
    TinyImageNet='Tiny ImageNet')


def test_the_model_index_lists_every_config_and_card():
    """As mim and MMEngine's get_config read it."""
    assert INDEX == sorted(f'configs/{path.parent.name}/metafile.yml'
                           for path in CONFIGS.glob('*/README.md'))
    assert set(MODELS) == {f'configs/{name}' for name in NAMES}
    models = [model for file in METAFILES.values() for model in file['Models']]
    assert len({model['Name']
                for model in models}) == len(models) == len(NAMES)
    for path, file in METAFILES.items():
        for collection in file['Collections']:
            assert (CONFIGS.parent / collection['README']).exists()
            # One without a paper has a card of this project alone.
            url = collection.get('Paper', {}).get('URL', 'https://')
            assert url.startswith('https://'), path
        names = [collection['Name'] for collection in file['Collections']]
        for model in file['Models']:
            assert model['In Collection'] in names
            for result in model.get('Results', []):
                assert result['Task'] == 'Image Classification'
                assert result['Dataset'] == model['Metadata']['Training Data']
                # As the pages have it.
                figure = f'{result["Metrics"]["Top 1 Accuracy"]:.2f}'
                card = (CONFIGS.parent / path).with_name('README.md')
                assert any(figure in page.read_text()
                           for page in (card, CONFIGS.parent / 'README.md'))
    for method in ('dgkd', 'takd', 'kd'):
        for chain in ('resnet110_to_resnet8_cifar100',
                      'plain10_to_plain2_cifar100',
                      'resnet20_to_resnet8_digits'):
            assert f'{method}/{chain}.py' in NAMES


# The contract of tests/methods trains the others on the digits.
QUICK = [
    name for name in NAMES
    if 'digits' in name and name.startswith(('dgkd', 'kd', 'takd',
                                             'feed/sfeed', 'slimmable/stu'))
]
# One for each chain of _base_, which is all there is of networks and data.
BASES = [
    'dgkd/plain10_to_plain2_cifar10.py',
    'dgkd/plain10_to_plain2_cifar100.py',
    'dgkd/plain10_to_plain2_cifar100_7_tas.py',
    'dgkd/plain10_x4_to_plain2_cifar100.py',
    'dgkd/resnet110_to_resnet32_cifar100.py',
    'dgkd/resnet110_to_resnet8_cifar100_released.py',
    'dgkd/resnet56_to_resnet8_cifar100_own.py',
    'dafl/resnet20_to_resnet8_cifar100.py',
    'dgkd/resnet20_to_resnet8_digits.py',
    'dgkd/resnet26_to_resnet8_cifar10.py',
    'dgkd/resnet26_to_resnet8_svhn.py',
    'dgkd/resnet56_to_resnet20_cifar100.py',
    'dgkd/vgg13_to_vgg8_cifar100.py',
    'dgkd/wrn40_2_to_wrn16_2_cifar100.py',
    'dgkd/wrn40_2_to_wrn16_2_tiny_imagenet.py',
    'dgkd/resnet50_to_mobilenet_v3_small_imagenet.py',
]
# What tests/test_imagenet.py trains.
OF_IMAGENET = ('resnet34_to_resnet18_imagenet.py',
               'deit_small_to_resnet18_imagenet.py', 'imagenet_bs32.py')
# Losses on data in whole batches, from which they may take labels and indices.
BATCHED = [
    f'{method}_to_resnet8_cifar100.py'
    for method in ('crd/resnet20', 'dist/resnet20', 'dkd/resnet20',
                   'dskd/resnet20', 'feed/resnet20', 'one_shot/resnet20',
                   'student_guided/features_resnet20')
] + [
    'byot/resnet8_cifar100.py',
    # Nor is this built by a contract.
    'dafl/statistics_resnet20_to_resnet8_ten_classes_cifar100.py'
]

# What is left out of the chains of other methods than DGKD: TAs that make them
# longer, but in no other way.
TAS = dict(
    resnet110_to_resnet8_cifar100=('resnet56', 'resnet32', 'resnet20'),
    resnet110_to_resnet8_cifar100_released=('resnet56', 'resnet32',
                                            'resnet20'),
    resnet110_to_resnet32_cifar100_dense=('resnet56', ),
    resnet56_to_resnet20_cifar100_dense=('resnet44', ),
    wrn40_2_to_wrn16_2_cifar100_dense=('wrn34_2', 'wrn28_2'))


def on_images(name, on_digits, cfg=None):
    """A config on a batch of digits of its size, without any file."""
    cfg = cfg or Config.fromfile(str(CONFIGS / name))
    if 'imagenet' in name and 'tiny' not in name:
        with_teacher_of_no_zoo(cfg)
    on_digits(cfg, 8 if 'digits' in name else 64 if 'tiny' in name else 32)
    if not name.startswith(('dgkd', 'slimmable', 'mutual')):
        cfg.chain.networks.update({
            ta: None
            for chain, tas in TAS.items() if chain in name for ta in tas
        })
    return cfg


def with_teacher_of_no_zoo(cfg):
    """Have the networks of ImageNet at 32 px, and no file to be fetched."""
    given = []
    for network in Chain.from_cfg(cfg.chain).networks:
        given += filter(None, [network.ckpt_path])
        cfg.chain.networks[network.name] = ConfigDict(model=network.model)
    assert len(given) == 1 and 'download.openmmlab.com' in given[0]
    for key in ('train', 'val', 'test'):
        for step in cfg[f'{key}_dataloader'].dataset.pipeline:
            step.update(
                {size: 32
                 for size in ('scale', 'crop_size') if size in step})


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in NAMES
])
def test_its_stages_are_configs(name, on_digits, tmp_path):
    """What they build and run is rehearsed below, once for each kind.

    Each is read once, which takes longer than all the rest.
    """
    cfg = Config.fromfile(str(CONFIGS / name))
    check_text(name, cfg)
    data = cfg.train_dataloader.dataset.type.split('.')[-1]
    assert DATA[data.removeprefix(
        'Batched')] == MODELS[f'configs/{name}']['Metadata']['Training Data']
    check_keys_can_be_sorted(cfg.chain)
    cfg = on_images(name, on_digits, cfg)
    cfg.work_dir = str(tmp_path / 'work')
    runner = ChainRunner(cfg)
    names = runner.chain.names
    for network in runner.chain.networks:
        stage = stage_config(cfg, runner.chain,
                             runner.chain.stage_of(network.name), {},
                             cfg.work_dir)
        assert stage.model.type and stage.train_dataloader
    # FEED numbers networks of one architecture.
    assert names[0].split('_')[0] in Path(name).name
    assert names[-1].split('_')[0] in Path(name).name
    counts = [len(runner.chain.teachers[network]) for network in names]
    assert counts == wanted_counts(name, names)
    assert not (tmp_path / 'work').exists()


def check_text(name, cfg):
    """It is short, and names its objective."""
    text = (CONFIGS / name).read_text()
    assert len(text.splitlines()) <= 40
    if name.startswith(('dgkd', 'takd', 'kd')):
        loss = cfg.model.distiller.distill_losses.loss_kd
        assert loss.form in ('released', 'paper', 'averaged', 'stacked')
    if name.startswith(
        ('dgkd', 'feed', 'fewbit', 'gslr', 'speq', 'mixed', 'onthefly',
         'slimmable', 'pruning', 'quantization', 'born_again', 'mutual',
         'student_guided', 'byot', 'crd/resnet20', 'dafl', 'dskd', 'one_shot',
         'curriculum', 'snapshots')) or 'dense' in name:
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


def check_keys_can_be_sorted(chain):
    """MMEngine sorts them when it writes a config."""
    written = dict(chain, networks=dict(sorted(chain.networks.items())))
    assert Chain.from_cfg(written) == Chain.from_cfg(chain)


def wanted_counts(name, names):
    """How many teachers each network of a config has."""
    if name.startswith('feed/pfeed'):
        return [0, 0, 0, 3]
    if name.startswith('mixed/resnet20'):
        # Three ResNet-8 of the same teachers.
        return [0, 1, 2, 3, 3, 3]
    if name.startswith(('mixed/joint', 'slimmable/student')):
        return [0, 1, 2, 3, 3, 3]
    if name.startswith('snapshots') or 'ensemble' in name or '_x4_' in name:
        # The teachers by the labels alone.
        return [*[0] * (len(names) - 1), len(names) - 1]
    if name.startswith('onthefly'):
        # The TAs by the teacher, then the pacemaker, then the teacher again.
        return [0, 1, 1, 2, 1]
    if name.startswith('speq/w2a2_transfer'):
        return [0, 0]
    if name in ('byot/resnet56_cifar100.py', 'byot/resnet8_cifar100.py'):
        return [0]
    if name.startswith('slimmable'):
        before = len(names) - 4
        return [*range(before), *[before] * 3, before + 3]
    if name.startswith('mutual'):
        if 'resnet8_' in name[:16]:
            return [0, 0]
        return [0, 1, 1] if 'digits' in name else [0, *[4] * 0, *[1] * 3, 4]
    if name.startswith(
        ('kd', 'dkd', 'dist', 'crd', 'feed/resnet20',
         'dskd')) and not ('dense' in name
                           or name in ('crd/resnet20_to_resnet8_digits.py',
                                       'dskd/resnet20_to_resnet8_digits.py')):
        # By the first alone, whatever is between.
        return [0] + [1] * (len(names) - 1)
    if name.startswith(('takd', 'feed/sfeed', 'born_again')):
        return [0] + [1] * (len(names) - 1)
    return list(range(len(names)))


@pytest.mark.parametrize('name', [
    name if 'digits' in name else pytest.param(name, marks=pytest.mark.slow)
    for name in (*BASES, *BATCHED)
])
def test_each_stage_is_rehearsed(name, on_digits, tmp_path):
    cfg = on_images(name, on_digits)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.chain.preflight = dict(steps=1)
    if name in BASES and not isinstance(cfg.chain.get('guidance'), dict):
        # TAs are trained as the student is.
        for ta in list(cfg.chain.networks)[1:-1]:
            cfg.chain.networks[ta] = None
    assert 'rehearsal: ' in ChainRunner(cfg).plan()


def test_each_chain_of_the_bases_is_trained():
    text = ''.join(
        (CONFIGS / name).read_text()
        for name in (*BASES,
                     *(parent for name in BASES
                       for parent in re.findall(r"\.\./(\w+/\w+\.py)", (
                           CONFIGS / name).read_text()))))
    for path in CONFIGS.glob('_base_/chains/*.py'):
        # Each of the three is trained by the contract of its method.
        assert (f'chains/{path.name}' in text or 'three' in path.name
                or path.name in OF_IMAGENET)
    for path in CONFIGS.glob('_base_/datasets/*.py'):
        # For the configs that mmdgkd new writes; its tests train them.
        written = path.name == 'image_folder.py'
        assert (path.name in text or 'noaug' in path.name or written
                or path.name in OF_IMAGENET)


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


def test_the_data_is_normalized_as_in_the_papers():
    for data, mean, std in (('cifar100_bs128', (.507, .487, .441), (.267, .256,
                                                                    .276)),
                            ('cifar10_bs128', (.507, .487, .441), (.267, .256,
                                                                   .276))):
        cfg = Config.fromfile(str(CONFIGS / '_base_/datasets' / f'{data}.py'))
        scaled = [x / 255 for x in cfg.data_preprocessor.mean]
        assert scaled == pytest.approx(mean, abs=1e-6)
        scaled = [x / 255 for x in cfg.data_preprocessor.std]
        assert scaled == pytest.approx(std, abs=1e-6)
