# The released DGKD code's form, (1-lambda) CE + lambda sum KD, at its defaults
# tau = 5 and lambda = 1, its KD averaged over batch AND classes. The labels
# have weight 0: distilled networks learn from their teachers alone.
model = dict(
    type='mmrazor.DGKD',
    task_loss_weight=0.0,
    teacher_options=dict(channels_last=True, fold_bn=True),
    distiller=dict(
        type='mmrazor.MultiTeacherDistiller',
        student_recorders=dict(logits=dict(type='mmrazor.ModuleOutputs')),
        teacher_recorders=dict(
            logits=dict(type='mmrazor.MultiTeacherOutputs')),
        distill_losses=dict(
            loss_kd=dict(
                type='mmrazor.DenseKDLoss',
                form='released',
                tau=5.0,
                reduction='mean',
                loss_weight=1.0)),
        loss_forward_mappings=dict(
            loss_kd=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='logits', from_student=False)))))
