# ResNet-20-14-8, each distilled from all before it; ResNet-8 is also its own
# teacher: its auxiliary heads learn from its last layer.
# Objective: as in resnet20_to_resnet8_digits.py, and those of the heads (see
# _base_/distillers/byot.py), with the weight of the labels.
_base_ = [
    '../dgkd/resnet20_to_resnet8_digits.py',
    '../_base_/distillers/byot_digits.py'
]
chain = dict(
    networks=dict(
        resnet8=dict(
            model=dict(
                _delete_=True,
                type='mmrazor.SelfDistill',
                architecture={{_base_.chain.networks.resnet8.model}},
                distiller={{_base_.byot}}))))
