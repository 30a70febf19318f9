# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""Models by name, and numbers of classes that are set from the data."""
import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

from mmdgkd.chain.chain import Chain
from mmdgkd.chain.classes import read_chain
from mmdgkd.chain.model_names import read_model
from mmdgkd.chain.runner import ChainRunner
from mmdgkd.errors import ConfigError
from mmdgkd.models.utils.class_numbers import set_classes

R18 = 'resnet18_8xb32_in1k'
R18_PATH = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'


def named(model, is_given=False):
    model, _ = read_model(model, 'here', is_given)
    return set_classes(model, 7)


def logits_of(model, size=32):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = MODELS.build(model).eval()
    with torch.no_grad():
        return built(torch.zeros(2, 3, size, size), mode='tensor').shape


@pytest.mark.parametrize('model, size', [
    ('resnet8', 8),
    ('wrn_10_1', 8),
    ('small_vgg8', 32),
    ('plain2', 32),
    (R18, 32),
    ('mobilenet-v3-small-050_3rdparty_in1k', 32),
    (dict(
        name='deit-tiny-distilled_3rdparty_in1k',
        backbone=dict(arch='deit-small', img_size=32, patch_size=16),
        head=dict(in_channels=384)), 32),
    (dict(name=R18, head=dict(num_classes=3)), 32),
])
def test_a_name_gives_a_classifier_of_the_datas_classes(model, size):
    wanted = 3 if 'num_classes' in str(model) else 7
    logits = logits_of(named(model), size)
    assert logits == (2, wanted)


def test_the_three_forms_are_one():
    assert named(R18) == named(R18_PATH) == named(dict(cfg_path=R18_PATH))
    assert named(R18.upper())['backbone']['depth'] == 18
    pruned = dict(type='mmrazor.ItePruneAlgorithm', architecture=R18)
    assert named(pruned)['architecture'] == named(R18)


def test_what_has_a_type_and_numbers_is_left_as_it_is():
    model = dict(
        type='ImageClassifier',
        backbone=dict(type='VGG', depth=11),
        head=dict(type='LinearClsHead', num_classes=4, in_channels=8))
    assert named(model) is model


@pytest.fixture
def scope():
    """The scope of a chain, in which types are looked up."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def test_where_the_number_is_set(scope):
    vgg = dict(
        type='ImageClassifier',
        backbone=dict(type='VGG', depth=11),
        head=dict(type='ClsHead', loss=dict(num_classes=None)))
    found = set_classes(dict(type='mmrazor.Mutual', peers=[vgg]), 7)
    vgg['backbone']['num_classes'] = vgg['head']['loss']['num_classes'] = 7
    assert found['peers'] == [vgg]
    assert set_classes(vgg, 5, instead_of=7)['backbone']['num_classes'] == 5
    other = dict(type='mmrazor.BYOTConnector', in_channel=1)
    assert set_classes(other, 7)['num_classes'] == 7
    wrapper = dict(type='HuggingFaceClassifier', model_name='x')
    assert set_classes(wrapper, 7)['num_labels'] == 7


def test_published_weights():
    """A file that is given is used alone."""
    found = named(dict(name=R18, pretrained=True))
    assert found['init_cfg']['checkpoint'].startswith('https://')
    assert found['data_preprocessor'] == dict(
        num_classes=7,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True)
    found = named(dict(name=R18, pretrained='a.pth'))
    assert found['init_cfg']['checkpoint'] == 'a.pth'
    assert named(dict(name=R18, pretrained=True), True) == named(R18)


def test_published_weights_as_they_are():
    teacher = dict(model=R18, ckpt_path='zoo')
    chain = Chain.from_cfg(dict(networks=dict(teacher=teacher)))
    assert chain['teacher'].ckpt_path.startswith('https://')
    teacher['model'] = 'resnet20'
    with pytest.raises(ConfigError, match="ckpt_path: 'zoo' are the publish"):
        Chain.from_cfg(dict(networks=dict(teacher=teacher)))


@pytest.mark.parametrize('meta, own', [
    (dict(), True),
    (dict(mmdgkd_version='0.1'), False),
])
def test_the_normalization_of_a_given_file(tiny_cfg, tmp_path, meta, own):
    """What was trained here had that of its config."""
    path = str(tmp_path / 'a.pth')
    torch.save(dict(state_dict=dict(a=torch.ones(1)), meta=meta), path)
    cfg = tiny_cfg()
    cfg.chain.networks.resnet20 = dict(model=R18, ckpt_path=path)
    model = read_chain(cfg)['resnet20'].model
    assert ('data_preprocessor' in model) == own
    if own:
        assert model['data_preprocessor']['mean'] == [123.675, 116.28, 103.53]


@pytest.mark.parametrize('model, message', [
    (None, 'here: is missing; it must be the config of an MMPretrain model, '
     "or a name such as 'resnet34_8xb32_in1k'"),
    (3, 'here: is 3; it must be'),
    ('resnet18_8xb32_in1',
     "here: 'resnet18_8xb32_in1' is the name of no model; similar: "
     'resnet18_8xb32_in1k'),
    ('resnet50', "'resnet50' is the name of no model; similar: .*resnet50_"),
    ('wrn_17_2', "'wrn_17_2' is the name of no model; similar: wrn_16_2"),
    ('zzzzzz', 'is the name of no model; it is such as'),
    ('mae_vit-base-p16_8xb512-amp-coslr-300e_in1k', 'is no classifier'),
    ('mmpretrain::x/y.py', "'mmpretrain::x/y.py' names no config .*exist"),
    ('mmpretran::x/y.py', 'the package mmpretran is not installed'),
    ('nowhere.py', "'nowhere.py' names no config"),
    (dict(name=3), 'here.name: 3 must be such as'),
    (dict(name='resnet20', cfg_path='x'), 'here.cfg_path: is given beside'),
    (dict(name='resnet20', pretrained=True),
     "here.pretrained: there are no weights of 'resnet20'"),
    (dict(name='resnet20', pretrained=3), 'here.pretrained: 3 must be True'),
    (dict(type='x', architecture='resnt20'), 'here.architecture: .*resnet20'),
    (dict(type='x', architecture=dict(name='resnt20')), 'here.architecture'),
])
def test_a_name_of_no_model(model, message):
    with pytest.raises(ConfigError, match=message) as error:
        read_model(model, 'here', False)
    assert '\n' not in str(error.value)


def test_timm_is_optional(monkeypatch):
    monkeypatch.setattr('mmdgkd.chain.model_names.find_spec', lambda _: None)
    with pytest.raises(ConfigError, match="'timm:x' needs a package: pip"):
        read_model('timm:x', 'here', False)


def test_models_of_timm():
    pytest.importorskip('timm')
    assert logits_of(named('timm:test_resnet')) == (2, 7)
    found = named(dict(name='timm:resnet18.a1_in1k', pretrained=True))
    assert found['init_cfg']['checkpoint'] == 'timm://resnet18.a1_in1k'
    assert not found['pretrained'] and found['num_classes'] == 7
    assert found['data_preprocessor'] == dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True)
    for name in ('timm:resnt18', 'timm:resnet18.zz'):
        with pytest.raises(ConfigError, match='similar: timm:resnet18'):
            read_model(name, 'here', False)


def test_published_weights_of_timm(tiny_cfg, monkeypatch, teacher_as_run):
    """The training begins from them, with a new head; nothing else does."""
    timm = pytest.importorskip('timm')
    published = timm.create_model('test_resnet')
    create = timm.create_model
    monkeypatch.setattr(
        timm,
        'create_model',
        lambda name, pretrained=False, **kwargs: published
        if pretrained else create(name, **kwargs))
    lines = []
    monkeypatch.setattr('mmdgkd.chain.preflight.pretrained.print_log',
                        lambda line, **_: lines.append(line))
    cfg = tiny_cfg()
    cfg.chain.networks = dict(
        a=dict(model=dict(name='timm:test_resnet', pretrained=True)))
    cfg.optim_wrapper.optimizer.lr = 0.
    runner = ChainRunner(cfg)
    runner.train()
    assert lines == [
        "chain.networks.a.model.init_cfg: 'timm://test_resnet' has 1000 "
        'classes, the network has 10; its head is new'
    ]
    state = torch.load(runner.work.file_of('a'), weights_only=True)
    found, wanted = state['state_dict'], published.state_dict()
    for name, data in wanted.items():
        if data.dim() == 4:
            assert torch.equal(found[name], data), name
    # As they are, for ten of ImageNet's classes, in another order.
    cfg = tiny_cfg(work_dir='given')
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[key].dataset.metainfo = dict(classes=IMAGENET_CATEGORIES[9::-1])
    cfg.chain.networks = dict(
        a=dict(model='timm:test_resnet', ckpt_path='zoo'),
        b=dict(model='resnet8'))
    for key in ('teacher_recorders', 'student_recorders'):
        cfg.model.distiller[key].logits.source = 'logits'
    ChainRunner(cfg).train()
    teacher = teacher_as_run(cfg, 'b', 'a')
    assert torch.equal(teacher.model.fc.weight,
                       published.fc.weight[:10].flip(0))


def test_numbers_of_classes_are_those_of_the_data(tiny_cfg, refused):
    cfg = tiny_cfg()
    networks = cfg.chain.networks
    for name in ('resnet20', 'resnet14'):
        del networks[name].model.head.num_classes
    networks.resnet8.model = 'resnet8'
    chain = read_chain(cfg)
    assert [
        network.model['head']['num_classes'] for network in chain.networks
    ] == [10] * 3
    assert read_chain(
        cfg.__class__(dict(cfg.to_dict(), chain=chain.to_cfg()))) == chain
    runner = ChainRunner(cfg)
    for name in chain.names:
        stage = runner.work.stage_config(name)
        assert "'num_classes': None" not in str(stage.model)
    networks.resnet14.model.head.num_classes = 7
    refused(cfg, 'resnet14.model: has 7 classes, the data has 10; set ')


def test_no_data_is_read_where_all_numbers_are_given(tiny_cfg, monkeypatch):
    monkeypatch.setattr('mmdgkd.chain.classes.class_names',
                        lambda *_: pytest.fail('read'))
    read_chain(tiny_cfg())
