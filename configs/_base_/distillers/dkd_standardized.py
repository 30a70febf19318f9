# CE + 9 DKD of standardized logits at tau = 2. Of several teachers the mean.
_base_ = './dkd.py'
standard = dict(type='mmrazor.StandardizeConnector')
model = dict(
    distiller=dict(
        edges=dict(
            default=dict(
                connectors=dict(standard=standard),
                distill_losses=dict(loss_dkd=dict(tau=2.0, loss_weight=9.0)),
                loss_forward_mappings=dict(
                    loss_dkd=dict(
                        preds_S=dict(connector='standard'),
                        preds_T=dict(connector='standard')))))))
