# Each teacher is trained without another half of the images; half of the
# weight of an image is that of the teacher that has not seen it. Its control
# is the same chain without chain.folds and unseen_weight.
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
    distiller=dict(distill_losses=dict(loss_kd=dict(unseen_weight=0.5))))
chain = dict(folds=2)
