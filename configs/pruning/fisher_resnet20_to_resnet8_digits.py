# ResNet-8 of the chain, from which Group Fisher pruning takes channel after
# channel until half of its operations are left, and then trained on, distilled
# from ResNet-20, 14 and the unpruned ResNet-8.
# Objective: as in resnet20_to_resnet8_digits.py.
_base_ = [
    '../dgkd/resnet20_to_resnet8_digits.py',
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
                interval=2,
                target_flops_ratio=0.5))))
