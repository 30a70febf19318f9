# 0.1 CE + 9 KD of standardized logits at tau = 2, the authors' weights. Of
# several teachers the mean.
_base_ = './dense_kd_averaged.py'
model = dict(
    distiller=dict(
        connectors=dict(standard=dict(type='mmrazor.StandardizeConnector')),
        distill_losses=dict(loss_kd=dict(tau=2.0, loss_weight=9.0)),
        loss_forward_mappings=dict(
            loss_kd=dict(
                preds_S=dict(connector='standard'),
                preds_T=dict(connector='standard')))))
