# Sequential FEED: networks of one architecture, each distilled from the one
# before.
# Objective: CE + beta FEED (see _base_/distillers/feed.py).
_base_ = [
    '../_base_/distillers/feed.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_160e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmrazor.DGKD',
    distiller=dict(
        type='mmrazor.MultiTeacherDistiller',
        edges=dict(default={{_base_.feed_edge}})))
chain = dict(
    guidance='sequential',
    networks={
        f'resnet56_{i}':
        dict(
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='ResNet6n2', depth=56),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead',
                    num_classes=100,
                    in_channels=64,
                    init_cfg=None)),
            # Each starts from other weights.
            stage=dict(randomness=dict(seed=i)))
        for i in range(4)
    })
