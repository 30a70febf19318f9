# ResNet-8 of the chain, from which Group Fisher pruning takes channel after
# channel until half of its operations are left, and then trained on, distilled
# from all networks before it, the unpruned ResNet-8 included.
# Objective: as in resnet110_to_resnet8_cifar100_released.py.
_base_ = [
    '../dgkd/resnet110_to_resnet8_cifar100_released.py',
    '../_base_/pruning/group_fisher.py',
]
chain = dict(
    networks=dict(
        resnet8_pruned=dict(
            init_from='resnet8',
            model=dict(
                type='mmrazor.TargetGroupFisher',
                architecture={{_base_.chain.networks.resnet8.model}},
                mutator={{_base_.fisher_mutator}},
                # Iterations from one pruned channel to the next.
                interval=25,
                target_flops_ratio=0.5))))
