# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
"""The behaviours of a stage."""
import copy

import pytest
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from torch import nn

from mmdgkd import ConfigError
from mmdgkd.models.algorithms.dgkd import DGKD

CLASSES = 5


def network(depth=8, classes=CLASSES, **backbone):
    return dict(
        type='ImageClassifier',
        data_preprocessor=dict(type='ClsDataPreprocessor'),
        backbone=dict(type='ResNet6n2', depth=depth, **backbone),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=classes, in_channels=64))


def distiller(drop=None, **loss):
    preds_T = dict(recorder='logits', from_student=False)
    cfg = dict(
        type='mmrazor.MultiTeacherDistiller',
        student_recorders=dict(
            logits=dict(type='mmrazor.ModuleOutputs', source='head.fc')),
        teacher_recorders=dict(
            logits=dict(type='mmrazor.MultiTeacherOutputs', source='head.fc')),
        distill_losses=dict(loss_kd=dict(type='mmrazor.DenseKDLoss', **loss)),
        loss_forward_mappings=dict(
            loss_kd=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=preds_T)))
    if drop is not None:
        cfg['connectors'] = dict(
            drop=dict(type='mmrazor.StochasticDropConnector', **drop))
        preds_T['connector'] = 'drop'
    return cfg


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg)


def save_network(path, cfg, seed=0):
    torch.manual_seed(seed)
    model = build(copy.deepcopy(cfg))
    model.init_weights()
    # Running statistics other than those of a fresh network.
    model.train()
    for _ in range(3):
        model(torch.randn(16, 3, 8, 8))
    torch.save(dict(state_dict=model.state_dict()), path)
    return str(path)


@pytest.fixture
def files(tmp_path):
    return {
        f'net{depth}':
        save_network(tmp_path / f'{depth}.pth', network(depth), depth)
        for depth in (20, 14)
    }


@pytest.fixture
def make(files):

    def make(names=('net20', 'net14'), architecture=None, seed=0, **kwargs):
        kwargs.setdefault('distiller', distiller())
        torch.manual_seed(seed)
        model = build(
            dict(
                type='mmrazor.DGKD',
                architecture=architecture or network(8),
                teachers={
                    name:
                    dict(
                        build_cfg=network(int(name[3:])),
                        ckpt_path=files[name])
                    for name in names
                },
                **kwargs))
        torch.manual_seed(seed)
        model.init_weights()
        return model.train()

    return make


def batch(n=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (n, ), generator=generator)
    return (torch.randn(n, 3, 8, 8, generator=generator),
            [DataSample().set_gt_label(label) for label in labels])


def test_one_teacher_gives_the_bits_of_single_teacher_distill(make, files):
    """Losses, gradients and weights over several steps."""
    mine = make(['net20'], distiller=distiller(tau=4.0))
    stock_distiller = distiller()
    stock_distiller['type'] = 'mmrazor.ConfigurableDistiller'
    stock_distiller['teacher_recorders']['logits']['type'] = \
        'mmrazor.ModuleOutputs'
    stock_distiller['distill_losses']['loss_kd'] = dict(
        type='mmrazor.KLDivergence', tau=4.0)
    torch.manual_seed(0)
    theirs = build(
        dict(
            type='mmrazor.SingleTeacherDistill',
            architecture=network(8),
            teacher=network(20),
            teacher_ckpt=files['net20'],
            distiller=stock_distiller))
    theirs.architecture.load_state_dict(mine.architecture.state_dict())
    theirs.train()
    wrappers = [
        OptimWrapper(
            torch.optim.SGD(
                model.architecture.parameters(), lr=0.1, momentum=0.9))
        for model in (mine, theirs)
    ]
    for step in range(4):
        inputs, samples = batch(seed=step)
        totals = []
        for model, wrapper in zip((mine, theirs), wrappers):
            losses = model(inputs, samples, mode='loss')
            total, log_vars = model.parse_losses(losses)
            totals.append(
                (total, losses['student.loss'], losses['distill.loss_kd']))
            wrapper.update_params(total)
        assert all(torch.equal(a, b) for a, b in zip(*totals)), step
        for (name, a), b in zip(mine.architecture.state_dict().items(),
                                theirs.architecture.state_dict().values()):
            assert torch.equal(a, b), (step, name)


class CountForwards:

    def __init__(self, model):
        self.calls = dict.fromkeys(model.teachers, 0)
        self.modes = []
        for name, teacher in model.teachers.items():
            forward = teacher.forward

            def counted(*args, _name=name, _forward=forward, **kwargs):
                self.calls[_name] += 1
                self.modes.append(kwargs.get('mode'))
                return _forward(*args, **kwargs)

            teacher.forward = counted


def test_a_dropped_teacher_does_not_run(make):
    model = make(distiller=distiller(drop=dict(num_drop=1, seed=3)))
    count = CountForwards(model)
    dropped = set()
    for step in range(12):
        before = dict(count.calls)
        losses = model(*batch(), mode='loss')
        ran = [n for n in count.calls if count.calls[n] > before[n]]
        terms = [key[len('distill.kd.'):] for key in losses if '.kd.' in key]
        assert len(ran) == 1 and terms == ran
        dropped |= set(count.calls) - set(ran)
    assert dropped == set(count.calls)
    assert sum(count.calls.values()) == 12


def test_the_mask_is_drawn_before_any_forward(make):
    model = make(distiller=distiller(drop=dict(num_drop=1)))
    order = []
    begin_step = model.distiller.begin_step
    model.distiller.begin_step = lambda step: (order.append('draw'),
                                               begin_step(step))[1]
    for part in (*model.teachers.values(), model.student):
        part.register_forward_pre_hook(lambda *_: order.append('forward'))
    model(*batch(), mode='loss')
    assert order == ['draw', 'forward', 'forward']


def test_the_order_of_the_teachers_makes_no_difference(make):
    drop = distiller(drop=dict(num_drop=1))
    one = make(['net20', 'net14'], distiller=copy.deepcopy(drop))
    two = make(['net14', 'net20'], distiller=copy.deepcopy(drop))
    for step in range(6):
        a, b = (model(*batch(), mode='loss') for model in (one, two))
        assert list(a) == list(b)
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_teachers_stay_in_eval_mode_as_a_whole(make, files):
    model = make()
    for mode in (True, False, True):
        model.train(mode)
        for teacher in model.teachers.values():
            assert not any(m.training for m in teacher.modules())
    # Even where one is switched by hand.
    model.teachers['net14'].train()
    model(*batch(), mode='loss')
    assert not any(m.training for m in model.teachers['net14'].modules())


def test_drop_path_of_a_teacher_is_off(tmp_path):
    cfg = network(14, drop_path_rate=0.9)
    file = save_network(tmp_path / 't.pth', cfg)
    model = build(
        dict(
            type='mmrazor.DGKD',
            architecture=network(8),
            teachers=dict(net14=dict(build_cfg=cfg, ckpt_path=file)),
            distiller=distiller())).train()
    outputs = []
    model.teachers['net14'].head.fc.register_forward_hook(
        lambda module, inputs, output: outputs.append(output))
    for _ in range(2):
        model(*batch(), mode='loss')
    assert torch.equal(*outputs)


def test_teachers_have_no_gradient_no_graph_and_never_change(make):
    model = make()
    before = copy.deepcopy({
        k: t.state_dict()
        for k, t in model.teachers.items()
    })
    outputs = []
    for teacher in model.teachers.values():
        teacher.head.fc.register_forward_hook(
            lambda module, inputs, output: outputs.append(output))
    inputs, samples = batch()
    # Even where the inputs come with a graph of their own.
    losses = model(inputs.requires_grad_(), samples, mode='loss')
    model.parse_losses(losses)[0].backward()
    assert len(outputs) == 2
    assert all(out.grad_fn is None for out in outputs)
    for name, teacher in model.teachers.items():
        assert all(not p.requires_grad and p.grad is None
                   for p in teacher.parameters())
        for key, value in teacher.state_dict().items():
            assert torch.equal(value, before[name][key])


def test_teachers_run_in_tensor_mode_and_not_through_their_losses(make):
    model = make()
    count = CountForwards(model)
    for teacher in model.teachers.values():
        teacher.loss = None  # would be called
    model(*batch(), mode='loss')
    assert count.modes == ['tensor', 'tensor']


def test_teachers_are_no_part_of_the_model(make):
    model = make()
    alone = build(network(8))
    assert set(model.state_dict()) == {
        f'architecture.{key}'
        for key in alone.state_dict()
    }
    assert len(list(model.parameters())) == len(list(alone.parameters()))


def test_teachers_go_where_the_model_goes(make):
    model = make().to(torch.float64)
    for teacher in model.teachers.values():
        assert all(p.dtype == torch.float64 for p in teacher.parameters())


def test_a_copy_shares_the_teachers(make):
    model = make()
    twin = copy.deepcopy(model)
    assert twin.teachers['net20'] is model.teachers['net20']
    assert twin.architecture is not model.architecture


def test_the_file_of_the_network_alone_is_loaded(make, tmp_path):
    """By MMEngine, which would leave the model as it was, and strictly."""
    path = save_network(tmp_path / '8.pth', network(8), 8)
    weights = torch.load(path, weights_only=True)['state_dict']
    for load in (load_checkpoint,
                 lambda model, _: model.load_state_dict(dict(weights))):
        model = make()
        load(model, path)
        found = model.student.state_dict()
        assert all(torch.equal(found[key], weights[key]) for key in weights)
    # Its own names are as before.
    model.load_state_dict(make(seed=1).state_dict())
    assert not torch.equal(model.student.state_dict()['head.fc.weight'],
                           weights['head.fc.weight'])
    # Tools of MMPretrain look into the network.
    inputs = batch()[0]
    assert model.backbone is model.student.backbone
    assert torch.equal(model.eval().extract_feat(inputs)[0],
                       model.student.extract_feat(inputs)[0])


def test_in_place_modules_are_switched_off_in_teachers_too(make):
    model = make()
    assert not any(map(is_in_place, model.teachers.values()))
    stays = make(teacher_module_inplace=True)
    assert is_in_place(stays.teachers['net20'])


def is_in_place(network):
    return any(getattr(part, 'inplace', False) for part in network.modules())


@pytest.mark.parametrize('source, wanted', [
    ('logits', True),
    ('head.fc', True),
    ('backbone.conv1', False),
    ('neck', False),
])
def test_those_of_the_student_where_they_change_a_record(make, source, wanted):
    cfg = distiller()
    cfg['student_recorders'] = dict(
        logits=dict(type='mmrazor.ModuleOutputs', source='logits'),
        more=dict(type='mmrazor.ModuleOutputs', source=source))
    model = make(distiller=cfg)
    assert is_in_place(model.student) == model.module_inplace == wanted
    for given in (True, False):
        model = make(distiller=cfg, module_inplace=given)
        assert is_in_place(model.student) == given


def test_terms_are_logged_by_teacher_and_counted_once(make):
    model = make(distiller=distiller(tau=2.0))
    losses = model(*batch(), mode='loss')
    total, log_vars = model.parse_losses(losses)
    terms = [losses['distill.kd.net14'], losses['distill.kd.net20']]
    torch.testing.assert_close(sum(terms), losses['distill.loss_kd'])
    assert torch.equal(total,
                       losses['student.loss'] + losses['distill.loss_kd'])
    assert 'distill.kd.net20' in log_vars


@pytest.mark.parametrize('form, count', [('released', 1), ('paper', 2)])
def test_both_forms_of_the_objective(make, form, count):
    lam = 0.3
    raw = make()(*batch(), mode='loss')
    model = make(
        task_loss_weight=1 - lam,
        distiller=distiller(form=form, loss_weight=lam))
    total, _ = model.parse_losses(model(*batch(), mode='loss'))
    torch.testing.assert_close(
        total,
        count * (1 - lam) * raw['student.loss'] + lam * raw['distill.loss_kd'])


def test_a_task_weight_of_zero_leaves_the_labels_out(make):
    model = make(task_loss_weight=0.0)
    losses = model(*batch(), mode='loss')
    assert 'student.loss' not in losses
    assert not losses['student.task'].requires_grad
    total, _ = model.parse_losses(losses)
    assert torch.equal(total, losses['distill.loss_kd'])


def test_a_stock_recorder_of_a_dropped_teacher_is_left_out(make):
    """Its connector still gets a gradient, as DDP needs it."""
    cfg = distiller(drop=dict(num_drop=1, seed=0))
    cfg['teacher_recorders']['single'] = dict(
        type='mmrazor.ModuleOutputs', source='net20.head.fc')
    cfg['connectors']['linear'] = dict(
        type='mmrazor.TorchFunctionalConnector', function_name='relu')
    cfg['distill_losses']['loss_l2'] = dict(type='mmrazor.L2Loss')
    cfg['loss_forward_mappings']['loss_l2'] = dict(
        s_feature=dict(
            recorder='logits', from_student=True, connector='linear'),
        t_feature=dict(recorder='single', from_student=False))
    model = make(distiller=cfg)
    model.distiller.connectors['linear'] = nn.Linear(CLASSES, CLASSES)
    weight = model.distiller.connectors['linear'].weight
    seen = set()
    for _ in range(8):
        weight.grad = None
        losses = model(*batch(), mode='loss')
        model.parse_losses(losses)[0].backward()
        active = 'distill.kd.net20' in losses
        assert weight.grad is not None
        assert bool(weight.grad.any()) == active
        seen.add(active)
    assert seen == {True, False}


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(teachers={}), 'model.teachers: must be a dict of at least one'),
        (dict(teachers=dict(t=dict(ckpt_path='x'))),
         'model.teachers.t: takes build_cfg and ckpt_path'),
        (dict(teachers=dict(t=dict(build_cfg=network(), ckpt_path='no.pth'))),
         "model.teachers.t.ckpt_path: there is no file 'no.pth'"),
        (dict(distiller=dict(type='mmrazor.ConfigurableDistiller')),
         "type must be 'mmrazor.MultiTeacherDistiller'"),
        # The template of a chain, to a tool for one network.
        (dict(architecture=None), 'model.architecture: is missing; .*'
         'WORK_DIR/<network>/<network>.py'),
        (dict(distiller=None), 'model.distiller: is missing'),
    ])
def test_bad_input(files, change, message):
    cfg = dict(
        type='mmrazor.DGKD',
        architecture=network(8),
        teachers=dict(
            net20=dict(build_cfg=network(20), ckpt_path=files['net20'])),
        distiller=distiller())
    cfg.update(change)
    with pytest.raises(ConfigError, match=message):
        build(cfg)


def test_it_is_the_registered_class(make):
    assert type(make()) is DGKD


@pytest.mark.parametrize('weight, share', [(.25, .5), (0., .5), (1., .75),
                                           (.25, 1.)])
def test_a_share_of_the_soft_loss_leaves_the_rest_to_the_labels(
        make, weight, share):
    inputs, samples = batch()
    plain = make(task_loss_weight=1.)(inputs, samples, mode='loss')
    model = make(task_loss_weight=weight)
    model.soft_share = share
    losses = model(inputs, samples, mode='loss')
    hard, soft = plain['student.loss'], plain['distill.loss_kd']
    torch.testing.assert_close(
        losses.get('student.loss', hard * 0),
        (share * weight + 1 - share) * hard)
    torch.testing.assert_close(losses['distill.loss_kd'], share * soft)


def test_without_a_soft_loss_no_teacher_runs(make):
    inputs, samples = batch()
    model = make(task_loss_weight=0.)
    hard = make(task_loss_weight=1.)(inputs, samples, mode='loss')
    ran = []
    for name, teacher in model.teachers.items():
        teacher.register_forward_hook(lambda *_, name=name: ran.append(name))
    model.soft_share = .5
    model(inputs, samples, mode='loss')
    assert sorted(ran) == ['net14', 'net20']
    model.soft_share = 0.
    losses = model(inputs, samples, mode='loss')
    assert len(ran) == 2
    assert list(losses) == ['student.loss']
    assert torch.equal(losses['student.loss'], hard['student.loss'])


def vision_transformer():
    return dict(
        type='ImageClassifier',
        backbone=dict(
            type='VisionTransformer',
            arch=dict(
                embed_dims=16,
                num_layers=2,
                num_heads=2,
                feedforward_channels=16),
            img_size=8,
            patch_size=4),
        head=dict(
            type='VisionTransformerClsHead',
            num_classes=CLASSES,
            in_channels=16))


RECORDED = dict(
    student_recorders=dict(
        logits=dict(type='mmrazor.ModuleOutputs', source='head')),
    connectors=dict(
        fit=dict(
            type='mmrazor.ConvModuleConnector', in_channel=1, out_channel=1)))


@pytest.mark.parametrize('peers', [False, True])
def test_layers_of_the_student_have_the_rates_that_they_have_alone(
        make, peers):
    """Also within another algorithm, and with connectors beside it."""
    student = vision_transformer()
    if peers:
        student = dict(
            type='mmrazor.MutualNetworks',
            source='head.layers.head',
            architecture=student,
            peers=dict(other=vision_transformer()))
    parts = dict(RECORDED)
    if peers:
        # They would need one each.
        parts.pop('connectors')
    model = make(architecture=student, distiller=dict(distiller(), **parts))
    cfg = dict(
        optimizer=dict(type='AdamW', lr=1., weight_decay=.1),
        constructor='LearningRateDecayOptimWrapperConstructor',
        paramwise_cfg=dict(layer_decay_rate=.5))

    def rates_of(model):
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            wrapper = build_optim_wrapper(model, cfg)
        groups = wrapper.optimizer.param_groups
        return {group['param_name']: group['lr'] for group in groups}

    alone = rates_of(build(vision_transformer()))
    assert alone['backbone.cls_token'] == .125
    assert alone['head.layers.head.bias'] == 1.
    found = rates_of(model)
    places = ['architecture.']
    if peers:
        places = ['architecture.architecture.', 'architecture.peers.other.']
    for place in places:
        for name, rate in alone.items():
            assert found.pop(place + name) == rate, name
    assert set(found.values()) == (set() if peers else {1.})
    if peers:
        # Without teachers, too.
        rates = rates_of(model.student)
        assert rates['architecture.backbone.cls_token'] == .125
