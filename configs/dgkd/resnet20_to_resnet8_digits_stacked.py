# KD from one estimate of all teachers, the softmax of the sum of their logits;
# teacher_weights and teacher_tau of a stage weigh and calibrate them.
# Objective: the stacked form, otherwise as the averaged one (see
# _base_/distillers). The weights of the student's teachers have sum 1.
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_digits.py',
    '../_base_/distillers/dense_kd_averaged.py',
    '../_base_/datasets/digits_bs64.py',
    '../_base_/schedules/sgd_20e_onecycle.py',
    '../_base_/default_runtime.py',
]
default_hooks = dict(logger=dict(interval=20))
model = dict(distiller=dict(distill_losses=dict(loss_kd=dict(form='stacked'))))
weights = dict(teacher_weights=dict(resnet20=0.5, resnet14=0.5))
chain = dict(
    networks=dict(
        resnet8=dict(
            stage=dict(
                model=dict(
                    distiller=dict(distill_losses=dict(loss_kd=weights)))))))
