# ResNet-20; and ResNet-14 and 8 in one stage, distilled from it and from each
# other (deep mutual learning).
# Objective: of each the parent's, and KL from the other at tau = 1.
_base_ = '../dgkd/resnet20_to_resnet8_digits.py'
chain = dict(
    networks=dict(
        _delete_=True,
        resnet20={{_base_.chain.networks.resnet20}},
        resnet14=dict(
            model=dict(
                type='mmrazor.MutualNetworks',
                architecture={{_base_.chain.networks.resnet14.model}},
                peers=dict(resnet8={{_base_.chain.networks.resnet8.model}}))),
        # Without a stage of its own.
        resnet8=dict(member_of='resnet14')))
