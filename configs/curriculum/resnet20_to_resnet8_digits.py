# The weight of the teachers of the student moves from the smallest to the
# largest over its training.
# Objective: the averaged form (see _base_/distillers); the weights of the
# teachers change, not their sum.
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_digits.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/digits_bs64.py',
    '../_base_/schedules/sgd_20e_onecycle.py',
    '../_base_/default_runtime.py',
]
default_hooks = dict(logger=dict(interval=20))
chain = dict(
    networks=dict(
        resnet8=dict(
            stage=dict(custom_hooks=[
                *_base_.custom_hooks,
                dict(type='mmrazor.CurriculumHook'),
            ]))))
