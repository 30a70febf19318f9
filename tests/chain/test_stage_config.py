# Copyright (c) mmdgkd contributors. Licensed under Apache-2.0.
import pytest
from mmengine.config import Config

from mmdgkd import ConfigError
from mmdgkd.chain.chain import Chain
from mmdgkd.chain.stage_config import network_config, stage_config


def config(**kwargs):
    cfg = Config(
        dict(
            chain=dict(
                networks={
                    name: dict(model=dict(type='Net', size=i))
                    for i, name in enumerate('tas')
                }),
            model=dict(
                type='mmrazor.DGKD',
                distiller=dict(type='D', distill_losses=dict(tau=1))),
            data_preprocessor=dict(num_classes=3),
            train_cfg=dict(max_epochs=5),
            runner_type='mmrazor.ChainRunner'))
    cfg.merge_from_dict(kwargs)
    return cfg


def stage(cfg, name='s', files=()):
    return stage_config(cfg, Chain.from_cfg(cfg.chain), name, dict(files),
                        '/w')


def test_a_stage_without_teachers_trains_the_network_itself():
    made = stage(config(), 't')
    assert made.model == dict(
        type='Net', size=0, data_preprocessor=dict(num_classes=3))
    assert 'chain' not in made and 'runner_type' not in made
    assert 'data_preprocessor' not in made
    assert made.work_dir == '/w/t' and made.filename == '/w/t/config.py'
    assert made.custom_imports.imports == ['mmdgkd']


def test_a_stage_with_teachers_is_the_template_filled_in():
    made = stage(config(), 's', dict(t='/f/t.pth', a='/f/a.pth'))
    assert made.model.type == 'mmrazor.DGKD'
    assert made.model.architecture.data_preprocessor.num_classes == 3
    assert made.model.teachers == dict(
        t=dict(build_cfg=dict(type='Net', size=0), ckpt_path='/f/t.pth'),
        a=dict(build_cfg=dict(type='Net', size=1), ckpt_path='/f/a.pth'))


def test_a_stage_may_have_its_own_settings():
    cfg = config()
    own = dict(
        train_cfg=dict(max_epochs=9),
        model=dict(distiller=dict(distill_losses=dict(tau=2))))
    cfg.chain.networks.s.stage = own
    assert stage(cfg).train_cfg.max_epochs == 9
    assert stage(cfg).model.distiller == dict(
        type='D', distill_losses=dict(tau=2))
    assert stage(cfg, 'a').train_cfg.max_epochs == 5
    # The config itself stays as it was.
    assert cfg.train_cfg.max_epochs == 5
    assert cfg.model.distiller.distill_losses.tau == 1


def test_delete_replaces_instead_of_merging():
    cfg = config()
    cfg.chain.networks.s.stage = dict(
        train_cfg=dict(_delete_=True, max_iters=7))
    assert stage(cfg).train_cfg == dict(
        type='mmrazor.ResumableEpochLoop', max_iters=7)


def test_what_does_not_merge_or_is_missing():
    cfg = config()
    cfg.chain.networks.s.stage = dict(train_cfg=dict(max_epochs=dict(x=1)))
    with pytest.raises(ConfigError, match='chain.networks.s.stage: does not'):
        stage(cfg)
    cfg = config()
    cfg.pop('model')
    with pytest.raises(ConfigError, match='model: stages with teachers need'):
        stage(cfg)
    stage(cfg, 't')


def test_the_network_alone():
    cfg = config(default_scope='mmpretrain', test_cfg=dict())
    alone = network_config(cfg, Chain.from_cfg(cfg.chain)['s'])
    assert alone.model.size == 2 and 'train_cfg' not in alone
    assert alone.model.data_preprocessor.num_classes == 3


@pytest.mark.parametrize('checkpoint', [
    None,
    dict(interval=1),
    dict(type='CheckpointHook', interval=1),
    dict(type='mmengine.CheckpointHook', interval=1)
])
@pytest.mark.parametrize('train_cfg', [
    dict(by_epoch=True, max_epochs=3),
    dict(max_epochs=3),
    dict(type='EpochBasedTrainLoop', max_epochs=3)
])
def test_stages_are_resumable_however_they_are_spelled(checkpoint, train_cfg):
    cfg = config()
    cfg.train_cfg = train_cfg
    cfg.default_hooks = {} if checkpoint is None else dict(
        checkpoint=checkpoint)
    found = stage(cfg)
    assert found.train_cfg == dict(
        type='mmrazor.ResumableEpochLoop', max_epochs=3)
    assert found.default_hooks.checkpoint == dict(
        type='mmrazor.AtomicCheckpointHook', interval=1)


def test_added_hooks_have_an_order_of_their_own(digits_cfg):
    """What a stage is resumed by hangs on no order of registration."""
    cfg = digits_cfg('crd/resnet20_to_resnet8_digits.py')
    cfg.chain.networks.resnet8.init_from = 'resnet14'
    cfg.chain.networks.resnet14.model.backbone.depth = 8
    before = len(cfg.custom_hooks)
    stage = stage_config(cfg, Chain.from_cfg(cfg.chain), 'resnet8', {}, '')
    kinds = [hook.type for hook in stage.custom_hooks[before:]]
    assert kinds == ['mmrazor.SampleClassesHook', 'mmrazor.InitFromHook']
    cfg = digits_cfg('pruning/fisher_resnet20_to_resnet8_digits.py')
    stage = stage_config(cfg, Chain.from_cfg(cfg.chain), 'resnet8_pruned', {},
                         '')
    kinds = [hook.type for hook in stage.custom_hooks[before:]]
    assert kinds == [
        'mmrazor.LogitStoreHook', 'mmrazor.InitFromHook',
        'mmrazor.GroupFisherHook'
    ]
