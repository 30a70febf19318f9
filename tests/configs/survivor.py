# A small chain with all that makes an exact resume hard: augmentation by
# several workers, stochastic teaching, Dropout and DropPath, EMA, a schedule
# by iterations, checkpoints in the middle of an epoch, a logit store.
_base_ = '../../configs/dgkd/resnet20_to_resnet8_digits_stochastic.py'

custom_imports = dict(imports=['mmdgkd'])
head = dict(type='LinearClsHead', num_classes=10, in_channels=16)
transformer = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(
            embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32),
        img_size=8,
        patch_size=2,
        out_type='avg_featmap',
        final_norm=False,
        drop_rate=0.1,
        drop_path_rate=0.2),
    head=head)
# A kill is to be one of the training.
chain = dict(
    preflight=False,
    networks=dict(
        resnet20=dict(model=dict(backbone=dict(depth=8, drop_path_rate=0.1))),
        resnet14=dict(model=dict(_delete_=True, **transformer)),
        resnet8=dict(model=dict(backbone=dict(drop_path_rate=0.2)))))

train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    dataset=dict(indices=80))
val_dataloader = dict(dataset=dict(indices=40), batch_size=20)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=3)
optim_wrapper = dict(optimizer=dict(nesterov=True), clip_grad=dict(max_norm=5))
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=2), logger=dict(interval=2))
custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(type='mmrazor.FastNetworkHook'),
    dict(type='mmrazor.StepSeedHook'),
    dict(type='mmrazor.FiniteLossHook'),
    dict(type='EMAHook', momentum=0.05)
]
