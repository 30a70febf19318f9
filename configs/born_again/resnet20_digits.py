# Born-again networks: ResNet-20, and three times the same again, each from
# other weights and distilled from the one before.
# Objective: CE + KD at tau = 1 (see _base_/distillers/born_again.py).
_base_ = [
    '../_base_/distillers/born_again.py',
    '../_base_/datasets/digits_bs64.py',
    '../_base_/schedules/sgd_20e_onecycle.py',
    '../_base_/default_runtime.py',
]
chain = dict(
    guidance='sequential',
    logit_store=dict(dtype='float16'),
    networks={
        f'resnet20_{i}':
        dict(
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='ResNet6n2', depth=20),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead',
                    num_classes=10,
                    in_channels=64,
                    init_cfg=None)),
            # Each starts from other weights.
            stage=dict(randomness=dict(seed=i)))
        for i in range(4)
    })
