# The edge of each teacher in attention transfer (AT): where the last feature
# map is large, whatever its channels. For `edges.default` of a distiller.
at_edge = dict(
    student_recorders=dict(
        maps=dict(type='mmrazor.ModuleInputs', source='neck.gap')),
    teacher_recorders=dict(
        maps=dict(type='mmrazor.ModuleOutputs', source='backbone')),
    distill_losses=dict(loss_at=dict(type='mmrazor.ATLoss', loss_weight=250.)),
    loss_forward_mappings=dict(
        loss_at=dict(
            s_feature=dict(recorder='maps', from_student=True, data_idx=0),
            t_feature=dict(recorder='maps', from_student=False, data_idx=0))))
