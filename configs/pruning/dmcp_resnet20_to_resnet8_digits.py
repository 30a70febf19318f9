# ResNet-8 of the chain, of which the supernet learns how many channels each
# layer keeps for half of the operations (DMCP), and that subnet is trained,
# distilled from ResNet-20, 14 and the unpruned ResNet-8.
# Objective: as in resnet20_to_resnet8_digits.py.
_base_ = [
    '../dgkd/resnet20_to_resnet8_digits.py',
    '../_base_/pruning/dmcp.py',
]
chain = dict(
    networks=dict(
        resnet8_pruned=dict(
            init_from='resnet8',
            model=dict(
                type='mmrazor.SubnetDMCP',
                architecture={{_base_.chain.networks.resnet8.model}},
                mutator_cfg={{_base_.dmcp_mutator}},
                # In millions: half of those of ResNet-8.
                target_macs=0.39,
                input_shape=(3, 8, 8),
                search_epochs=10,
                # Iterations before the sizes are learned.
                arch_start_train=46),
            stage=dict(
                train_cfg=dict(val_begin=11),
                optim_wrapper={{_base_.dmcp_optimizer}}))))
