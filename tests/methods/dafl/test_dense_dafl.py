# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS

from mmdgkd import ConfigError
from mmdgkd.methods.dafl.dense_dafl import latent_noise

CONFIG = Path(__file__).resolve(
).parents[3] / 'configs/dafl/resnet20_to_resnet8_digits.py'
SIZE = (6, 3, 8, 8)
WEIGHTS = dict(onehot=1.0, entropy=5.0, activation=0.1)


@pytest.fixture
def make():
    """A function that makes a ResNet-8 with two teachers, without data."""

    def build(change=None, names=('resnet20', 'resnet14')):
        cfg = Config.fromfile(str(CONFIG))
        networks = {
            name:
            dict(
                network.model.to_dict(),
                data_preprocessor=dict(type='ClsDataPreprocessor'))
            for name, network in cfg.chain.networks.items()
        }
        model = copy.deepcopy(cfg.model.to_dict())
        model.pop('teacher_options')
        model['generator']['hidden_channels'] = 8
        if change:
            change(model)
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            return MODELS.build(
                dict(
                    model,
                    architecture=networks['resnet8'],
                    teachers={
                        name: dict(build_cfg=networks[name])
                        for name in names
                    })).train()

    return build


def losses_of(model, size=SIZE):
    samples = [DataSample().set_gt_label(0) for _ in range(size[0])]
    return model(torch.zeros(size), samples, mode='loss')


def outputs_of(teacher, images):
    """Features and logits of a teacher."""
    with torch.no_grad():
        features = teacher.backbone(images)[-1].mean((2, 3))
        return features, teacher(images, mode='tensor')


def by_hand(teacher, images):
    """The three losses of the paper, unweighted."""
    features, logits = outputs_of(teacher, images)
    mean = logits.softmax(1).mean(0)
    return dict(
        onehot=F.cross_entropy(logits, logits.argmax(1)),
        entropy=(mean * mean.log10()).sum(),
        activation=-features.abs().mean())


def test_noise_is_a_function_of_seed_step_and_rank():
    noise = latent_noise(1, 2, 3, 4, 5)
    assert noise.shape == (4, 5)
    torch.manual_seed(7)
    assert torch.equal(noise, latent_noise(1, 2, 3, 4, 5))
    for other in ((0, 2, 3), (1, 0, 3), (1, 2, 0), (2, 1, 3), (1, 3, 2)):
        assert not torch.equal(noise, latent_noise(*other, 4, 5))
    # Nor is the common generator drawn from.
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    latent_noise(1, 2, 3, 4, 5)
    assert torch.equal(torch.rand(1), expected)
    many = latent_noise(0, 0, 0, 100, 100)
    assert abs(many.mean()) < .05 and abs(many.std() - 1) < .05


def test_losses_are_the_papers_averaged_over_the_teachers(make):
    model = make()
    losses = losses_of(model)
    assert model.images.shape == SIZE and not model.images.requires_grad
    for name, teacher in model.teachers.items():
        for key, value in by_hand(teacher, model.images).items():
            found = losses[f'generator.loss_{key}_{name}']
            assert float(found) == pytest.approx(
                float(WEIGHTS[key] * value / 2), rel=1e-4)
    # The student's: the mean of KL(teacher || student), on the same images.
    log_probs = model.student(model.images, mode='tensor').log_softmax(1)
    terms = [
        F.kl_div(
            log_probs,
            outputs_of(teacher, model.images)[1].softmax(1),
            reduction='batchmean') for teacher in model.teachers.values()
    ]
    assert float(losses['distill.loss_kd']) == pytest.approx(
        float(sum(terms) / 2), rel=1e-3)
    assert not any(key.startswith('student') for key in losses)


def test_the_student_loss_does_not_reach_the_generator(make):

    def change(model):
        # A loss that does not detach what it has of teachers.
        distiller = model['distiller']
        distiller['distill_losses']['loss_maps'] = dict(type='mmrazor.L2Loss')
        distiller['student_recorders']['maps'] = dict(
            type='mmrazor.ModuleOutputs', source='neck.gap')
        distiller['teacher_recorders']['maps'] = dict(
            type='mmrazor.ModuleOutputs', source='resnet20.neck.gap')
        distiller['loss_forward_mappings']['loss_maps'] = dict(
            s_feature=dict(recorder='maps', from_student=True),
            t_feature=dict(recorder='maps', from_student=False))

    model = make(change)
    losses = losses_of(model)
    for part, other in (('distill', 'generator'), ('generator',
                                                   'architecture')):
        model.zero_grad()
        sum(value for key, value in losses.items()
            if key.startswith(part) and 'loss' in key).backward()
        grads = {
            name
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }
        assert grads and not any(name.startswith(other) for name in grads)
    parameters = {name.split('.')[0] for name, _ in model.named_parameters()}
    assert parameters == {'architecture', 'generator'}
    assert not any('teacher' in key for key in model.state_dict())
    for teacher in model.teachers.values():
        assert all(p.grad is None for p in teacher.parameters())


def test_grey_images_have_equal_channels(make):
    for gray in (True, False):
        model = make(lambda cfg: cfg.update(gray=gray))
        losses_of(model)
        first, second, third = model.images.unbind(1)
        assert torch.equal(first, second) == torch.equal(first, third) == gray
        assert abs(first.mean()) < .01 and abs(first.std() - 1) < .01


def add_drop(model, protect):
    distiller = model['distiller']
    distiller['connectors'] = dict(
        drop=dict(
            type='mmrazor.StochasticDropConnector',
            num_drop=1,
            protect=protect))


def test_a_dropped_teacher_scores_nothing(make):
    model = make(lambda cfg: add_drop(cfg, ('resnet14', )))
    losses = losses_of(model)
    assert not any('resnet20' in key for key in losses)
    value = by_hand(model.teachers['resnet14'], model.images)['entropy']
    found = losses['generator.loss_entropy_resnet14']
    assert float(found) == pytest.approx(float(5 * value), rel=1e-4)


def test_one_teacher_alone_may_score(make):

    def only_resnet20(cfg):
        cfg['generator_distiller']['edges']['resnet14'] = None

    losses = losses_of(make(only_resnet20))
    assert not any(
        key.startswith('generator') and 'resnet14' in key for key in losses)
    assert 'distill.kd.resnet14' in losses

    def drops_the_other(cfg):
        only_resnet20(cfg)
        add_drop(cfg, ('resnet14', ))

    model = make(drops_the_other)
    losses = losses_of(model)
    assert losses['generator.loss_none'] == 0
    model.parse_losses(losses)[0].backward()
    # As DDP needs it.
    assert all(p.grad is not None for p in model.parameters())


def test_gaps_join_the_losses_and_are_not_those_of_folded_teachers(make):

    def add_gaps(cfg):
        cfg['teacher_options'] = dict(fold_bn=False)
        edge = cfg['generator_distiller']['edges']['default']
        edge['teacher_recorders']['gaps'] = dict(
            type='mmrazor.BatchNormGaps', source='backbone')
        edge['distill_losses']['loss_gaps'] = dict(
            type='mmrazor.BatchNormGapLoss', loss_weight=.5)
        edge['loss_forward_mappings']['loss_gaps'] = dict(
            gaps=dict(recorder='gaps', from_student=False))

    model = make(add_gaps)
    losses = losses_of(model)
    for name, teacher in model.teachers.items():
        expected, hooks = [], [
            layer.register_forward_pre_hook(lambda layer, inputs: expected.
                                            append(gap_of(layer, inputs[0])))
            for layer in teacher.modules()
            if isinstance(layer, torch.nn.BatchNorm2d)
        ]
        with torch.no_grad():
            teacher.backbone(model.images)
        for hook in hooks:
            hook.remove()
        # The weight; the mean of two teachers.
        found = losses[f'generator.loss_gaps_{name}']
        assert found.item() == pytest.approx(.5 * sum(expected) / 2, rel=1e-4)

    def add_folded(cfg):
        add_gaps(cfg)
        cfg['teacher_options'] = dict(fold_bn=True)

    with pytest.raises(
            ConfigError,
            match='^model.generator_distiller.edges.default.teacher_recorders.'
            'gaps.source: .*set model.teacher_options.fold_bn=False'):
        make(add_folded)


def gap_of(layer, images):
    """The gap of a layer, by its own formula."""
    mean = images.mean((0, 2, 3))
    var = (images**2).mean((0, 2, 3)) - mean**2
    return float((mean - layer.running_mean).norm() +
                 (var - layer.running_var).norm())


def set_at(path, value):

    def change(model):
        *parents, last = path.split('.')
        for key in parents:
            model = model[key]
        model[last] = value

    return change


@pytest.mark.parametrize('path,value,message', [
    ('task_loss_weight', .5, 'model.task_loss_weight: 0.5 must be 0'),
    ('generator.latent_dim', None, 'model.generator: cannot be built'),
    ('generator', dict(type='mmrazor.L1Loss'),
     'model.generator.type: must be a generator of MMRazor'),
    ('generator_distiller.edges', None,
     'model.generator_distiller: has no losses'),
    ('generator_distiller.connectors',
     dict(drop=dict(type='mmrazor.StochasticDropConnector')),
     'model.generator_distiller.connectors: has a StochasticDropConnector'),
    ('generator_distiller.edges.default.teacher_recorders.features.source',
     'neck.gab', 'model.generator_distiller.teacher_recorders.features'),
])
def test_mistakes_are_refused(make, path, value, message):
    with pytest.raises(ConfigError, match=f'^{message}'):
        make(set_at(path, value))


def test_images_of_another_size_and_a_store_are_refused(make):
    model = make()
    with pytest.raises(
            ConfigError,
            match=r'^model.generator.img_size: .*\(3, 8, 8\), .*\(3, 4, 4\)'):
        losses_of(model, (6, 3, 4, 4))
    with pytest.raises(ConfigError, match='^chain.logit_store: must be None'):
        model.use_store(None)
