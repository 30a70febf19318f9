# ResNet-8 of the chain, pruned to half of its channels by the L1 norm and then
# trained on, distilled from all networks before it, the unpruned ResNet-8
# included.
# Objective: as in resnet110_to_resnet8_cifar100_released.py.
_base_ = [
    '../dgkd/resnet110_to_resnet8_cifar100_released.py',
    '../_base_/pruning/l1_half_resnet8.py',
]
chain = dict(
    networks=dict(
        resnet8_pruned=dict(
            init_from='resnet8',
            model=dict(
                type='mmrazor.ItePruneAlgorithm',
                architecture={{_base_.chain.networks.resnet8.model}},
                mutator_cfg={{_base_.l1_mutator}},
                target_pruning_ratio={{_base_.half_resnet8}},
                # In equal parts, the first at once, then every 2 epochs.
                step_freq=2,
                prune_times=10))))
