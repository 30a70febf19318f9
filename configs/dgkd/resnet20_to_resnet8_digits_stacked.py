# KD from one estimate of all teachers, the softmax of the mean of logits.
# teacher_weights and teacher_tau in the stage of a network weigh and calibrate
# its teachers (mmdgkd weigh prints them).
# Objective: the stacked form, otherwise as the averaged one (see
# _base_/distillers).
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_digits.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/digits_bs64.py',
    '../_base_/schedules/sgd_20e_onecycle.py',
    '../_base_/default_runtime.py',
]
default_hooks = dict(logger=dict(interval=20))
model = dict(distiller=dict(distill_losses=dict(loss_kd=dict(form='stacked'))))
