# ResNet-8 of the chain with half of its channels, whose filters are fused anew
# in each epoch (DCFF), distilled from all networks before it, the unpruned
# ResNet-8 included.
# Objective: as in resnet110_to_resnet8_cifar100_released.py.
_base_ = [
    '../dgkd/resnet110_to_resnet8_cifar100_released.py',
    '../_base_/pruning/dcff_half_resnet8.py',
]
chain = dict(
    networks=dict(
        resnet8_pruned=dict(
            init_from='resnet8',
            model=dict(
                type='mmrazor.DCFF',
                architecture={{_base_.chain.networks.resnet8.model}},
                mutator_cfg={{_base_.dcff_mutator}},
                target_pruning_ratio={{_base_.half_resnet8}},
                # Epochs between two fusions.
                step_freq=1))))
