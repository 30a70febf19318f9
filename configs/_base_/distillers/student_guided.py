# As dense_kd_averaged.py, but the classifier of each teacher runs a hundred
# times, with Dropout of 0.5 on its input; its logits are the mean of the tenth
# of these passes that is nearest to the student.
_base_ = './dense_kd_averaged.py'
model = dict(
    distiller=dict(
        teacher_recorders=dict(
            logits=dict(
                type='mmrazor.StochasticTeacherOutputs',
                source='head.fc',
                num_passes=100,
                drop_prob=0.5)),
        distill_losses=dict(
            loss_kd=dict(type='mmrazor.StudentGuidedKDLoss', keep=0.1))))
