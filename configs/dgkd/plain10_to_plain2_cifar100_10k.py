# The plain chain on 10,000 training images, which its teachers overfit, with
# 2,500 more that are held out of all trainings: for comparisons of guidances
# (docs/which_guidance.md). All networks train for 30 epochs.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/chains/plain10_to_plain2_cifar100.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(dataset=dict(indices=12500))
optim_wrapper = dict(
    optimizer=dict(
        type='SGD', lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.1,
        begin=0,
        end=3,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=27,
        begin=3,
        end=30,
        convert_to_iter_based=True)
]
train_cfg = dict(by_epoch=True, max_epochs=30, val_interval=1)
val_cfg = dict()
test_cfg = dict()
student = dict(distiller=dict(distill_losses=dict(loss_kd=dict(tau=2.0))))
chain = dict(
    holdout=2500,
    views=dict(num_views=10),
    networks=dict(plain2=dict(stage=dict(model=student))))
