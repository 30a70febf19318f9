# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""What MMRazor's users train and search with, on current packages."""
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine import fileio
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmrazor.datasets import CRDDataset, PackCRDClsInputs
from mmrazor.engine.optimizers import SeparateOptimWrapperConstructor
from mmrazor.models.algorithms import DSNAS, SPOS
from mmrazor.models.algorithms.nas.dsnas import DSNASDDP
from mmrazor.models.algorithms.pruning.dmcp import DMCPDDP
from mmrazor.models.architectures.dynamic_ops import DynamicSequential
from mmrazor.models.mutables import (OneHotMutableOP, OneShotMutableOP,
                                     OneShotMutableValue)
from mmrazor.models.mutators import NasMutator
from mmrazor.registry import MODELS, TASK_UTILS
from torch import distributed, nn
from torch.nn import functional

CHOICES = ('conv1', 'conv3', 'conv5')
LABELS = np.array([0, 0, 0, 1, 2, 2])
KL = dict(
    type='mmrazor.ConfigurableDistiller',
    student_recorders=dict(
        fc=dict(type='mmrazor.ModuleOutputs', source='head.fc')),
    teacher_recorders=dict(
        fc=dict(type='mmrazor.ModuleOutputs', source='head.fc')),
    distill_losses=dict(loss_kl=dict(type='mmrazor.KLDivergence')),
    loss_forward_mappings=dict(
        loss_kl=dict(
            preds_S=dict(recorder='fc', from_student=True),
            preds_T=dict(recorder='fc', from_student=False))))

MODELS.register_module('Conv2dOfTorch', module=nn.Conv2d)


class Toy(BaseModel):
    """A classifier of two classes; what it predicts is a dict."""

    def __init__(self, first, width):
        super().__init__()
        self.backbone = nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU(),
                                      nn.Conv2d(width, width, 1))
        self.head = nn.Module()
        self.head.fc = nn.Linear(width, 2)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        logits = self.head.fc(self.backbone(inputs).mean((2, 3)))
        if mode == 'loss':
            labels = torch.arange(len(logits)) % 2
            return dict(loss=functional.cross_entropy(logits, labels))
        return dict(logits=logits) if mode == 'predict' else logits


def convolutions(kind):
    """Three convolutions to choose from."""
    return kind(
        {
            name: dict(type='mmrazor.Conv2dOfTorch', kernel_size=size)
            for name, size in zip(CHOICES, (1, 3, 5))
        },
        module_kwargs=dict(in_channels=3, out_channels=4, padding='same'))


def optimizers(algorithm, lr=0.1):
    """One for the weights and one for the architecture, as in configs."""
    sgd = dict(optimizer=dict(type='SGD', lr=lr, momentum=0.9))
    return SeparateOptimWrapperConstructor(
        dict(architecture=sgd, mutator=sgd))(
            algorithm)


@pytest.fixture
def one_rank(tmp_path):
    distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def batch():
    torch.manual_seed(1)
    return dict(inputs=torch.randn(4, 3, 8, 8), data_samples=None)


def search(ddp):
    """Search by DSNAS: an epoch of weights, one of both, and the end."""
    torch.manual_seed(0)
    algorithm = DSNAS(
        Toy(convolutions(OneHotMutableOP), 4),
        NasMutator(),
        pretrain_epochs=1,
        finetune_epochs=2,
        flops_constraints=0.)
    wrapper = optimizers(algorithm)
    model = algorithm
    if ddp:
        model = DSNASDDP(
            module=algorithm,
            find_unused_parameters=True,
            broadcast_buffers=False)
    found = []
    for epoch in (0, 1, 1, 1, 2):
        MessageHub.get_current_instance().update_info('epoch', epoch)
        losses = model.train_step(batch(), wrapper)
        params = torch.cat(list(algorithm.mutator.arch_params.values()))
        found.append((losses['supernet.loss'].item(), params.tolist()))
    assert algorithm.architecture.backbone[0].is_fixed
    return found


def test_dsnas_searches(one_rank):
    alone = search(ddp=False)
    params = [params for _, params in alone]
    # They are learned in the epoch of both, and not after.
    assert params[0] != params[1] != params[2] != params[3] == params[4]
    assert search(ddp=True) == alone


def prune(ddp):
    """Prune by DMCP: two steps of weights, then also of the architecture.

    A layer of 16 channels is too narrow to be cut in groups of a twentieth:
    its architecture parameters are in the costs alone.
    """
    torch.manual_seed(0)
    algorithm = MODELS.build(
        dict(
            type='mmrazor.DMCP',
            architecture=Toy(nn.Conv2d(3, 16, 3), 16),
            distiller=KL,
            mutator_cfg=dict(
                type='mmrazor.DMCPChannelMutator',
                channel_unit_cfg=dict(type='DMCPChannelUnit'),
                parse_cfg=dict(
                    _scope_='mmrazor',
                    type='ChannelAnalyzer',
                    demo_input=(1, 3, 8, 8),
                    tracer_type='BackwardTracer')),
            strategy=['max', 'min', 'arch_random'],
            arch_start_train=1,
            distillation_times=1,
            arch_train_freq=2,
            target_flops=.01))
    wrapper = optimizers(algorithm)
    model = algorithm
    if ddp:
        model = DMCPDDP(
            module=algorithm,
            find_unused_parameters=True,
            broadcast_buffers=False)
    found = []
    for step in range(5):
        MessageHub.get_current_instance().update_info('iter', step)
        losses = model.train_step(batch(), wrapper)
        found.append({name: loss.item() for name, loss in losses.items()})
    return found


def test_dmcp_under_ddp_is_dmcp(one_rank):
    alone = prune(ddp=False)
    assert 'flops.loss' in alone[2] and 'flops.loss' not in alone[3]
    for mine, other in zip(alone, prune(ddp=True)):
        assert mine == pytest.approx(other, rel=1e-5)


def classifier():
    return dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(type='mmpretrain.ResNet6n2', depth=8),
        neck=dict(type='mmpretrain.GlobalAveragePooling'),
        head=dict(
            type='mmpretrain.LinearClsHead',
            num_classes=4,
            in_channels=64,
            init_cfg=None))


def accuracy(model, loader):
    """The percentage of the samples that a classifier gets right."""
    right = []
    with torch.no_grad():
        for data in loader:
            predicted = model(data['inputs'], mode='tensor').argmax(1)
            right += [
                int(sample.gt_label) == int(label)
                for sample, label in zip(data['data_samples'], predicted)
            ]
    return sum(right) * 100 / 12


def test_a_validation_shows_the_teachers_accuracy(runner, loader,
                                                  preprocessor):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='mmrazor.SingleTeacherDistill',
            architecture=classifier(),
            teacher=classifier(),
            teacher_trainable=False,
            data_preprocessor=preprocessor,
            distiller=KL))
    # It always outputs the class of two of the twelve images.
    model.teacher.head.fc.bias.data[2] = 100
    run = runner(
        model,
        train_cfg=dict(by_epoch=True, max_epochs=3),
        val_cfg=dict(type='mmrazor.SingleTeacherDistillValLoop'))
    run.train()
    model.eval()
    found = {
        name: float(buffer.current())
        for name, buffer in run.message_hub.log_scalars.items()
        if 'accuracy' in name
    }
    assert found == pytest.approx({
        'val/accuracy/top1':
        accuracy(model.architecture, loader),
        'val/teacher.accuracy/top1':
        100 / 6
    })
    assert found['val/accuracy/top1'] > 20


class Count(BaseMetric):
    """How many results a metric has been given."""

    def process(self, data_batch, data_samples):
        self.results.append(len(data_samples))

    def compute_metrics(self, results):
        return dict(count=sum(results))


def test_a_network_that_predicts_a_dict_is_validated(runner, loader):
    model = Toy(nn.Conv2d(3, 4, 1), 4)
    run = runner(
        model,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        val_evaluator=COUNT,
        test_dataloader=loader,
        test_evaluator=COUNT,
        test_cfg={})
    run.train()
    # MMEngine hands the keys of a dict on.
    assert run.val() == run.test() == dict(count=3)


COUNT = Evaluator(Count())


class Sampled(SPOS):
    """What the loop asks for, and SPOS lacks on any PyTorch."""

    def sample_subnet(self):
        return self.mutator.sample_choices()


def test_a_supernet_is_trained_by_its_best_subnets(runner, loader,
                                                   preprocessor, tmp_path):
    model = Sampled(
        Toy(convolutions(OneShotMutableOP), 4),
        NasMutator(),
        data_preprocessor=MODELS.build(preprocessor))
    before = model.architecture.head.fc.weight.clone()
    run = runner(
        model,
        train_cfg=dict(
            type='mmrazor.GreedySamplerTrainLoop',
            dataloader_val=loader,
            evaluator=COUNT,
            score_key='count',
            max_iters=4,
            val_interval=2,
            estimator_cfg=dict(
                type='mmrazor.ResourceEstimator', input_shape=(1, 3, 8, 8)),
            num_candidates=4,
            num_samples=3,
            top_k=2),
        val_evaluator=COUNT,
        default_hooks=dict(checkpoint=None))
    run.train()
    saved = fileio.load(tmp_path / 'candidates.pkl')
    assert set(saved.scores) == {3}
    assert set(saved.subnets[0].values()) <= {'conv1', 'conv3', 'conv5'}
    assert not torch.equal(model.architecture.head.fc.weight, before)


class Ragged(BaseDataset):
    """Six images of three classes of different sizes."""

    def load_data_list(self):
        return [
            dict(img=np.full((2, 2, 3), i, np.uint8), gt_label=int(label))
            for i, label in enumerate(LABELS)
        ]

    def get_gt_labels(self):
        return LABELS


@pytest.mark.parametrize('percent', [1., .5])
@pytest.mark.parametrize('sample_mode', ['exact', 'random'])
def test_crd_samples_from_classes_of_different_sizes(percent, sample_mode):
    np.random.seed(0)
    data = CRDDataset(
        Ragged(pipeline=[PackCRDClsInputs()]),
        neg_num=4,
        percent=percent,
        sample_mode=sample_mode)
    for i, label in enumerate(LABELS):
        sample = data[i]['data_samples']
        positive, *negatives = sample.contrast_sample_idxs.tolist()
        assert sample.gt_label == label == LABELS[positive]
        assert (positive == i) >= (sample_mode == 'exact')
        assert len(negatives) == 4 and label not in LABELS[negatives]
    assert [len(rows) for rows in data.cls_positive] == [3, 1, 2]


def test_a_sequential_becomes_a_dynamic_one_and_static_again():
    torch.manual_seed(0)
    layers = OrderedDict((f'fc{i}', nn.Linear(4, 4)) for i in range(4))
    model = DynamicSequential.convert_from(nn.Sequential(layers))
    assert [name for name, _ in model.named_children()
            ] == [*layers, 'mutable_attrs']
    # A layer that is there twice.
    twice = nn.Sequential(layers['fc0'], nn.ReLU(), layers['fc0'])
    found = DynamicSequential.convert_from(twice)
    assert [*found._modules] == ['0', '1', '2', 'mutable_attrs']
    assert found[2] is layers['fc0']
    depth = OneShotMutableValue(value_list=[2, 3, 4], default_value=4)
    model.register_mutable_attr('depth', depth)
    inputs = torch.randn(2, 4)
    for number in (4, 2):
        depth.current_choice = number
        torch.testing.assert_close(
            model(inputs),
            nn.Sequential(*list(layers.values())[:number])(inputs))
    depth.fix_chosen(depth.dump_chosen().chosen)
    torch.testing.assert_close(model.to_static_op()(inputs), model(inputs))


def predictor(handler):
    op = convolutions(OneShotMutableOP)
    return TASK_UTILS.build(
        dict(
            type='mmrazor.MetricPredictor',
            handler_cfg=dict(type=f'mmrazor.{handler}'),
            search_groups={
                0: [op],
                1: [op]
            }))


def test_a_metric_is_predicted_from_a_subnet():
    model = predictor('CartsHandler')
    subnets = [{0: one, 1: two} for one in CHOICES for two in CHOICES]
    vectors = [model.model2vector(subnet) for subnet in subnets]
    assert vectors[1] == dict(
        normal_vector=[0, 1], onehot_vector=[1, 0, 0, 0, 1, 0])
    model.fit(vectors, np.arange(9.))
    found = np.squeeze(model.handler.predict(model.preprocess(vectors)))
    assert np.corrcoef(found, range(9))[0, 1] > 0.9
    assert model.vector2model(model.preprocess(vectors[3:4])) == subnets[3]


def test_a_gaussian_process_predicts():
    """The values are those of NumPy 1.23."""
    pytest.importorskip('pydacefit')
    inputs = np.random.RandomState(0).rand(45, 3)
    handler = TASK_UTILS.build(dict(type='mmrazor.GaussProcessHandler'))
    handler.fit(inputs[:40], np.sin(3 * inputs[:40]).sum(1))
    assert np.squeeze(handler.predict(inputs[40:])) == pytest.approx(
        [2.091047, 2.858727, 1.751369, 2.685848, 2.161774], abs=2e-6)
