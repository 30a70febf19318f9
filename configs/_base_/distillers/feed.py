# The edge of each teacher in FEED: the last feature map, through a non-linear
# transformation layer of its own (64 channels, as in all ResNets of 6n+2
# layers). For `edges.default` of a distiller.
feed_edge = dict(
    student_recorders=dict(
        maps=dict(type='mmrazor.ModuleOutputs', source='backbone')),
    teacher_recorders=dict(
        maps=dict(type='mmrazor.ModuleOutputs', source='backbone')),
    connectors=dict(
        ntl=dict(type='mmrazor.Translator', in_channel=64, out_channel=64)),
    distill_losses=dict(loss_feed=dict(type='mmrazor.FEEDLoss')),
    loss_forward_mappings=dict(
        loss_feed=dict(
            s_feature=dict(
                recorder='maps',
                from_student=True,
                data_idx=0,
                connector='ntl'),
            t_feature=dict(recorder='maps', from_student=False, data_idx=0))))
