# The averaged form at tau = 1 and lambda = 0.5, as KD of ResNet-34 to 18 on
# ImageNet mostly has it. At tau = 1 the largest logits are nearly all of the
# distribution: top_k of the logit store costs little (docs/logit_store.md).
_base_ = './dense_kd_averaged.py'
model = dict(
    task_loss_weight=0.5,
    distiller=dict(
        distill_losses=dict(loss_kd=dict(tau=1.0, loss_weight=0.5))))
