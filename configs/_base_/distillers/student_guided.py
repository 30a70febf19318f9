# As dense_kd_averaged.py, but each guide speaks a hundred times, half of what
# its classifier is given dropped anew, and is heard as the mean of the tenth
# that agrees most with the student.
_base_ = './dense_kd_averaged.py'
model = dict(
    distiller=dict(
        teacher_recorders=dict(
            logits=dict(
                type='mmrazor.StochasticTeacherOutputs',
                num_passes=100,
                drop_prob=0.5)),
        distill_losses=dict(
            loss_kd=dict(type='mmrazor.StudentGuidedKDLoss', keep=0.1))))
