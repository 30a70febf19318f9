# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Weights to begin from that are none of the model."""
import os
import os.path as osp

import pytest
import torch
from mmpretrain.models import TimmClassifier
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain, Network
from mmdgkd.chain.preflight.pretrained import check_init_cfg, check_pretrained
from mmdgkd.chain.runner import ChainRunner

CHAIN = Chain.from_cfg(dict(networks=dict(x=dict(model=dict(type='X')))))


def assert_refused(cfg, *messages):
    with pytest.raises(ConfigError) as error:
        ChainRunner(cfg).train()
    for message in messages:
        assert message in str(error.value)
    assert '\n' not in str(error.value)
    assert not osp.exists(cfg.work_dir)


@pytest.mark.parametrize('key, name', [
    ('load_from', '<name>'),
    ('chain.networks.resnet8.stage.load_from', 'resnet8'),
])
def test_a_chain_loads_nothing_by_load_from(tiny_cfg, key, name):
    cfg = tiny_cfg()
    cfg.chain.networks.resnet8.stage = dict()
    cfg.merge_from_dict({key: 'weights.pth'})
    assert_refused(
        cfg, f"{key}: 'weights.pth' has no meaning in a chain",
        f'chain.networks.{name}.ckpt_path, to begin from them put '
        "init_cfg=dict(type='Pretrained', checkpoint=...) into "
        f'chain.networks.{name}.model')


@pytest.fixture
def files(trained, tmp_path):
    """Weights of ResNet-14 in the ways in which they are kept."""
    folder = osp.join(trained[0].work_dir, 'resnet14')
    path = osp.join(folder, 'resnet14.pth')
    state = torch.load(path, weights_only=True)['state_dict']

    def save(name, weights):
        torch.save(weights, tmp_path / name)
        return str(tmp_path / name)

    return dict(
        network=path,
        algorithm=osp.join(folder, 'epoch_2.pth'),
        backbone=save(
            'backbone.pth', {
                key.removeprefix('backbone.'): value
                for key, value in state.items() if key.startswith('backbone')
            }),
        wider=save('wider.pth', {
            key: torch.zeros(2, *value.shape)
            for key, value in state.items()
        }),
        ddp=save('ddp.pth', {
            f'module.{key}': value
            for key, value in state.items()
        }),
        other=save('other.pth', dict(weight=torch.zeros(1))),
        numbers=save('numbers.pth', dict(epoch=3)))


HERE = 'chain.networks.resnet14.model'


@pytest.mark.parametrize('part, file, prefix, message', [
    ('', 'nowhere.pth', None, ".init_cfg: there is no file 'nowhere.pth'"),
    ('', 'algorithm', None, ".init_cfg: nothing in '{0}' is for the model: "
     'the file has architecture.backbone.conv1.weight (16, 3, 3, 3), '),
    ('', 'algorithm', None, "the model backbone.conv1.weight (16, 3, 3, 3), "),
    ('', 'algorithm', None, "; init_cfg=dict(type='Pretrained', "
     "checkpoint='{}', prefix='architecture.') takes it"),
    ('backbone', 'network', None, "checkpoint='{}', prefix='backbone.') "
     'takes it'),
    ('backbone', 'backbone', 'backbone', ".backbone.init_cfg: nothing in '{0}'"
     " under the prefix 'backbone.' is for the model: the file has "
     'conv1.weight (16, 3, 3, 3), '),
    ('backbone', 'backbone', 'backbone',
     "; init_cfg=dict(type='Pretrained', checkpoint='{}') takes it"),
    ('head', 'other', None, ".head.init_cfg: nothing in '{}' is for the "
     'model: the file has weight (1,), the model fc.weight (10, 64), '
     'fc.bias (10,)'),
    ('', 'wider', None, "is for the model: the file has backbone.conv1.weight "
     '(2, 16, 3, 3, 3), '),
    ('', 'numbers', None, ".init_cfg: '{}' holds no weights"),
    ('', 'network', '', 'is for the model: the file has '),
    ('backbone', None, None, '.backbone.init_cfg: checkpoint=None must be'),
])
def test_a_network_that_would_begin_from_nothing(tiny_cfg, files, part, file,
                                                 prefix, message):
    cfg = tiny_cfg()
    model = cfg.chain.networks.resnet14.model
    path = files.get(file, file)
    if file == 'algorithm':
        assert osp.exists(path)
    (model[part] if part else model).init_cfg = dict(
        type='Pretrained', checkpoint=path, prefix=prefix)
    start = HERE if message[0] == '.' else ''
    assert_refused(cfg, start + message.format(path))


def test_a_module_without_weights(files):
    model = nn.Identity()
    model.init_cfg = dict(type='Pretrained', checkpoint=files['network'])
    with pytest.raises(
            ConfigError, match=r'x.model.init_cfg: .* the model no'):
        check_init_cfg(CHAIN, Network('x', {}), model)


def test_one_of_several_init_cfgs(tiny_cfg, files):
    cfg = tiny_cfg()
    cfg.chain.networks.resnet14.model.backbone.init_cfg = [
        dict(type='Constant', layer='Conv2d', val=0.0),
        dict(type='Pretrained', checkpoint=files['other'])
    ]
    assert_refused(cfg, f'{HERE}.backbone.init_cfg[1]: nothing in ')


def test_mmpretrains_short_form(tiny_cfg, files):
    cfg = tiny_cfg()
    cfg.chain.networks.resnet14.model.pretrained = files['other']
    assert_refused(cfg, f'{HERE}.pretrained: nothing in ')


@pytest.mark.parametrize('part, file, prefix', [
    ('', 'network', None),
    ('', 'ddp', None),
    ('', 'algorithm', 'architecture'),
    ('backbone', 'backbone', None),
    ('backbone', 'network', 'backbone'),
    ('backbone', 'algorithm', 'architecture.backbone.'),
    ('', 'https://nowhere.invalid/a.pth', None),
])
def test_a_network_that_begins_from_weights(tiny_cfg, files, part, file,
                                            prefix):
    cfg = tiny_cfg()
    model = cfg.chain.networks.resnet14.model
    (model[part] if part else model).init_cfg = dict(
        type='Pretrained', checkpoint=files.get(file, file), prefix=prefix)
    assert 'resnet14' in ChainRunner(cfg).facts


def test_it_does_begin_from_them(tiny_cfg, files):
    """And a given network does not read them."""
    cfg = tiny_cfg(images=32)
    networks = cfg.chain.networks
    networks.resnet20 = networks.resnet8 = None
    networks.resnet14.model.init_cfg = dict(
        type='Pretrained',
        checkpoint=files['algorithm'],
        prefix='architecture')
    cfg.optim_wrapper.optimizer.lr = 0.0
    cfg.param_scheduler = []
    ChainRunner(cfg).train()
    own = torch.load(
        osp.join(cfg.work_dir, 'resnet14', 'resnet14.pth'), weights_only=True)
    given = torch.load(files['network'], weights_only=True)
    key = 'backbone.layer3.1.conv2.weight'
    assert torch.equal(own['state_dict'][key], given['state_dict'][key])

    cfg.chain.networks.resnet14.model.init_cfg.checkpoint = 'nowhere.pth'
    cfg.chain.networks.resnet14.ckpt_path = files['network']
    assert 'resnet14' in ChainRunner(cfg).facts


class Renaming(nn.Linear):
    """As MMPretrain's models do with weights from elsewhere."""

    def __init__(self):
        super().__init__(2, 2)
        self._register_load_state_dict_pre_hook(self._rename)

    def _rename(self, state, prefix, *_):
        for key in list(state):
            state[key.replace('theirs.', '')] = state.pop(key)


class TimmLike(nn.Module):
    """Its own state_dict has other names than its parameters."""

    def __init__(self):
        super().__init__()
        self.model = nn.Linear(2, 2)
        self._register_state_dict_hook(
            TimmClassifier._remove_state_dict_prefix)
        self._register_load_state_dict_pre_hook(
            TimmClassifier._add_state_dict_prefix)


def network():
    return nn.ModuleDict(dict(fc=nn.Linear(2, 2), bn=nn.BatchNorm1d(2)))


def algorithm():
    return nn.ModuleDict(dict(architecture=network()))


def other():
    return nn.ModuleDict(dict(fd=nn.Linear(3, 3), bn=nn.BatchNorm1d(3)))


@pytest.mark.parametrize('model, saved', [
    (network, network),
    (algorithm, algorithm),
    (nn.BatchNorm1d(2), nn.BatchNorm1d(2)),
    (Renaming, lambda: nn.ModuleDict(dict(theirs=nn.Linear(2, 2)))),
    (TimmLike, lambda: nn.Linear(2, 2)),
    (lambda: nn.ModuleDict(dict(a=TimmLike(), b=nn.Linear(3, 3))),
     lambda: nn.ModuleDict(dict(b=nn.Linear(3, 3)))),
])
def test_load_from_that_fits(tmp_path, model, saved):
    path = str(tmp_path / 'a.pth')
    model = model if isinstance(model, nn.Module) else model()
    saved = saved if isinstance(saved, nn.Module) else saved()
    torch.save(dict(state_dict=saved.state_dict()), path)
    check_pretrained(model, path, 'load_from')


@pytest.mark.parametrize('model, saved, message', [
    (algorithm, network, 'the file has fc.weight (2, 2), fc.bias (2,), '
     'bn.weight (2,), the model architecture.fc.weight (2, 2), '
     'architecture.fc.bias (2,), architecture.bn.weight (2,)'),
    (network, algorithm, 'the file has architecture.fc.weight (2, 2), '
     'architecture.fc.bias (2,), architecture.bn.weight (2,), the model '
     'fc.weight (2, 2), fc.bias (2,), bn.weight (2,); '
     "init_cfg=dict(type='Pretrained', checkpoint='{}', "
     "prefix='architecture.') takes it"),
    (network, other, 'the file has fd.weight (3, 3), fd.bias (3,), '
     'bn.weight (3,), the model fc.weight (2, 2), fc.bias (2,), '
     'bn.weight (2,)'),
])
def test_load_from_that_loads_nothing(tmp_path, model, saved, message):
    """A counter fits wherever there is one, and is no weight."""
    path = str(tmp_path / 'a.pth')
    torch.save(saved().state_dict(), path)
    with pytest.raises(ConfigError) as error:
        check_pretrained(model(), path, 'load_from')
    assert str(
        error.value) == (f"load_from: nothing in '{path}' is for the model: "
                         f'{message.format(path)}')


def test_what_no_file_has_is_not_missed(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr('mmdgkd.chain.preflight.pretrained.print_log',
                        lambda line, **_: lines.append(line))
    model, path = network(), str(tmp_path / 'a.pth')
    model.register_buffer('mean', torch.ones(3), persistent=False)
    model.fc.register_parameter('none', nn.Parameter(torch.ones(0)))
    torch.save(model.state_dict(), path)
    check_pretrained(model, path, 'load_from')
    assert not lines


def test_load_from_that_does_not_load(tmp_path):
    """What a module's own hook raises is a line, too."""
    model, path = network(), str(tmp_path / 'a.pth')
    torch.save(model.state_dict(), path)
    model._register_load_state_dict_pre_hook(lambda state, *_: state['no'])
    with pytest.raises(
            ConfigError, match='load_from: .* does not load into the model'):
        check_pretrained(model, path, 'load_from')


def test_what_a_file_has_not_is_named(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr('mmdgkd.chain.preflight.pretrained.print_log',
                        lambda line, **_: lines.append(line))
    path = str(tmp_path / 'a.pth')
    torch.save(network().state_dict(), path)
    check_pretrained(network(), path, 'load_from')
    assert not lines
    torch.save(nn.ModuleDict(dict(fc=nn.Linear(2, 2))).state_dict(), path)
    check_pretrained(network(), path, 'load_from')
    assert lines == [
        f'load_from: 4 of the 6 weights are not in {path!r}, or not in that '
        'shape, and begin without it, such as bn.weight'
    ]


def test_a_head_that_is_new_is_told(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr('mmdgkd.chain.preflight.pretrained.print_log',
                        lambda line, **_: lines.append(line))
    path = str(tmp_path / 'a.pth')
    torch.save(network().state_dict(), path)
    model = network()
    model['fc'] = nn.Linear(2, 5)
    check_pretrained(model, path, 'load_from')
    assert lines == [
        f'load_from: {path!r} has 2 classes, the network has 5; its head is '
        'new'
    ]


def test_load_from_that_is_not_there():
    with pytest.raises(ConfigError, match='load_from: there is no file'):
        check_pretrained(network(), 'nowhere.pth', 'load_from')


@pytest.mark.slow
def test_a_stage_alone_on_the_command_line(run_here, trained, tmp_path):
    """It takes its checkpoints, and no file of which nothing fits."""
    folder = osp.join(trained[0].work_dir, 'resnet14')
    words = ('tools/train.py', osp.join(folder, 'config.py'), '--work-dir',
             tmp_path, '--cfg-options', 'train_cfg.max_epochs=1')
    torch.save(dict(state_dict=dict(a=torch.ones(1))), tmp_path / 'a.pt')
    done = run_here(*words, f'load_from={tmp_path / "a.pt"}', check=False)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith(
        'error: load_from: nothing in ')
    assert not list(tmp_path.glob('*.pth'))
    run_here(*words, 'load_from=' + osp.join(folder, 'epoch_2.pth'))
    assert 'epoch_1.pth' in os.listdir(tmp_path)
