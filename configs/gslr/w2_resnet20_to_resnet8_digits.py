# ResNet-8 with ternary weights; the weight of its teachers shrinks to 0
# (gradual soft loss reducing): the paper's own case.
# Objective: the parent's, its share shrinking to 0 over the 20 epochs.
_base_ = '../fewbit/w2_resnet20_to_resnet8_digits.py'
chain = dict(
    networks=dict(
        resnet8_w2=dict(
            stage=dict(custom_hooks=[
                *_base_.custom_hooks,
                dict(type='mmrazor.GSLRHook'),
            ]))))
