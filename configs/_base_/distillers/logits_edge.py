# The logits of the student and of each teacher, for a loss of MMRazor's in
# `edges.default`. Of several teachers the mean.
model = dict(
    type='mmrazor.DGKD',
    teacher_options=dict(channels_last=True, fold_bn=True),
    distiller=dict(
        type='mmrazor.MultiTeacherDistiller',
        edge_reduction='mean',
        edges=dict(
            default=dict(
                student_recorders=dict(
                    logits=dict(type='mmrazor.ModuleOutputs')),
                teacher_recorders=dict(
                    logits=dict(type='mmrazor.MultiTeacherOutputs'))))))
