# ResNet-20-14-8; each network is regressed to the features of many
# Dropout passes of a teacher that are nearest to its own, as published.
# Objective: 0.5 CE + 0.5 MSE (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_digits.py',
    '../_base_/distillers/student_guided_features.py',
    '../_base_/datasets/digits_bs64.py',
    '../_base_/schedules/sgd_20e_onecycle.py',
    '../_base_/default_runtime.py',
]
# The teachers' features differ in each step.
chain = dict(logit_store=None)
