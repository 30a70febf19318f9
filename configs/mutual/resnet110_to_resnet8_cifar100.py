# ResNet-110; 56, 32 and 20 in one stage, distilled from it and from each other
# (deep mutual learning); and ResNet-8, distilled from all.
# Objective: of each the parent's, and the mean KL from the others at tau = 1.
_base_ = '../dgkd/resnet110_to_resnet8_cifar100_released.py'
chain = dict(
    networks=dict(
        _delete_=True,
        resnet110={{_base_.chain.networks.resnet110}},
        resnet56=dict(
            model=dict(
                type='mmrazor.MutualNetworks',
                architecture={{_base_.chain.networks.resnet56.model}},
                peers=dict(
                    resnet32={{_base_.chain.networks.resnet32.model}},
                    resnet20={{_base_.chain.networks.resnet20.model}}))),
        # Without stages of their own.
        resnet32=dict(member_of='resnet56'),
        resnet20=dict(member_of='resnet56'),
        resnet8={{_base_.chain.networks.resnet8}}))
