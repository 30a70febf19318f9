# DIST from a teacher: correlations between the classes of a sample (inter),
# and between the samples of a class (intra). For `edges.default` of a
# distiller.
dist_edge = dict(
    student_recorders=dict(logits=dict(type='mmrazor.ModuleOutputs')),
    teacher_recorders=dict(logits=dict(type='mmrazor.MultiTeacherOutputs')),
    distill_losses=dict(
        loss_dist=dict(
            type='mmrazor.DISTLoss',
            tau=4.0,
            inter_loss_weight=2.0,
            intra_loss_weight=2.0)),
    loss_forward_mappings=dict(
        loss_dist=dict(
            logits_S=dict(recorder='logits', from_student=True),
            logits_T=dict(recorder='logits', from_student=False))))
