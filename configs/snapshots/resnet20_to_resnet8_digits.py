# ResNet-20-8 on the digits; ResNet-20 after half and three quarters of its own
# training are teachers, too, and cost no training.
# Objective: (1-lambda) CE + lambda times the mean of the teachers' KD (see
# _base_/distillers/dense_kd_averaged.py), lambda = 0.9, tau = 4.
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_digits.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/digits_bs64.py',
    '../_base_/schedules/sgd_20e_onecycle.py',
    '../_base_/default_runtime.py',
]
default_hooks = dict(logger=dict(interval=20))
chain = dict(
    networks=dict(resnet20=dict(snapshots=[0.5, 0.75, 1.0]), resnet14=None))
