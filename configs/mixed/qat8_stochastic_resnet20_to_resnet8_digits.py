# ResNet-8 with 8 bits, and one random teacher is dropped in each step.
# Objective: as in the parent.
_base_ = [
    '../quantization/qat8_resnet20_to_resnet8_digits.py',
    '../_base_/distillers/stochastic.py'
]
chain = dict(
    networks=dict(
        resnet8_int8=dict(stage=dict(model={{_base_.stochastic_teaching}}))))
