# The edge of each teacher in FitNet: the last feature map, regressed to that
# of the teacher by a convolution (64 channels, as in all ResNets of 6n+2
# layers). The weight is that of CRD's comparison (arXiv 1910.10699). For
# `edges.default` of a distiller.
fitnet_edge = dict(
    student_recorders=dict(
        maps=dict(type='mmrazor.ModuleOutputs', source='backbone')),
    teacher_recorders=dict(
        maps=dict(type='mmrazor.ModuleOutputs', source='backbone')),
    connectors=dict(
        regressor=dict(
            type='mmrazor.ConvModuleConnector',
            in_channel=64,
            out_channel=64,
            norm_cfg=dict(type='BN'))),
    distill_losses=dict(
        loss_fitnet=dict(
            type='mmrazor.L2Loss',
            normalize=False,
            div_element=True,
            loss_weight=100.)),
    loss_forward_mappings=dict(
        loss_fitnet=dict(
            s_feature=dict(
                recorder='maps',
                from_student=True,
                data_idx=0,
                connector='regressor'),
            t_feature=dict(recorder='maps', from_student=False, data_idx=0))))
