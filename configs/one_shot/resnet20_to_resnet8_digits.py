# ResNet-8 of the chain without 90 % of its weights, pruned at once by the
# gradients of a loss with its teachers, and then trained, distilled from all
# before it.
# Objective: as in resnet20_to_resnet8_digits.py.
_base_ = '../dgkd/resnet20_to_resnet8_digits.py'
chain = dict(
    networks=dict(
        resnet8_pruned=dict(
            init_from='resnet8',
            model=dict(
                type='mmrazor.OneShotPruned',
                architecture=_base_.chain.networks.resnet8.model,
                sparsity=0.9))))
