# The teachers of each image are weighed by the likelihood of its label.
# Objective: the averaged form (see _base_/distillers), with these weights in
# place of the mean.
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_digits.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/digits_bs64.py',
    '../_base_/schedules/sgd_20e_onecycle.py',
    '../_base_/default_runtime.py',
]
default_hooks = dict(logger=dict(interval=20))
model = dict(
    distiller=dict(
        distill_losses=dict(loss_kd=dict(gate=dict(type='label', s=0.5)))))
