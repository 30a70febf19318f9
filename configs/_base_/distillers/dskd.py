# CE + LSH between the student's features and themselves, denoised as if they
# were the teacher's, + the denoiser's own loss. Of several teachers the mean.
# For `edges.default` of a distiller.
dskd_edge = dict(
    student_recorders=dict(
        maps=dict(type='mmrazor.ModuleOutputs', source='backbone'),
        labels=dict(type='mmrazor.ModuleInputs', source='head.loss_module')),
    teacher_recorders=dict(
        maps=dict(type='mmrazor.ModuleOutputs', source='backbone'),
        weight=dict(type='mmrazor.Parameter', source='head.fc.weight'),
        bias=dict(type='mmrazor.Parameter', source='head.fc.bias')),
    distill_losses=dict(loss_dskd=dict(type='mmrazor.DSKDLoss', channels=64)),
    loss_forward_mappings=dict(
        loss_dskd=dict(
            s_maps=dict(recorder='maps', from_student=True, data_idx=0),
            t_maps=dict(recorder='maps', from_student=False, data_idx=0),
            labels=dict(recorder='labels', from_student=True, data_idx=1),
            t_weight=dict(recorder='weight', from_student=False),
            t_bias=dict(recorder='bias', from_student=False))))
model = dict(
    type='mmrazor.DGKD',
    teacher_options=dict(channels_last=True, fold_bn=True),
    distiller=dict(
        type='mmrazor.MultiTeacherDistiller',
        edge_reduction='mean',
        edges=dict(default=dskd_edge)))
