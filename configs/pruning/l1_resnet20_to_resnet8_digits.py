# ResNet-8 of the chain, pruned to half of its channels by the L1 norm and then
# trained on, distilled from ResNet-20, 14 and the unpruned ResNet-8.
# Objective: as in resnet20_to_resnet8_digits.py.
_base_ = [
    '../dgkd/resnet20_to_resnet8_digits.py',
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
                # In equal parts, the first at once, then one an epoch.
                step_freq=1,
                prune_times=5))))
