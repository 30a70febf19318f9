# ResNet-8 of the chain, of which the supernet learns how many channels each
# layer keeps for half of the operations (DMCP), and that subnet is trained,
# distilled from all networks before it, the unpruned ResNet-8 included.
# Objective: as in resnet110_to_resnet8_cifar100_released.py.
_base_ = [
    '../dgkd/resnet110_to_resnet8_cifar100_released.py',
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
                target_macs=6.25,
                input_shape=(3, 32, 32),
                search_epochs=40,
                # Iterations before the sizes are learned.
                arch_start_train=1955),
            stage=dict(
                train_cfg=dict(val_begin=41),
                optim_wrapper={{_base_.dmcp_optimizer}}))))
