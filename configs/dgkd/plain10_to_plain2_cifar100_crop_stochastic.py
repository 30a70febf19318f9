# Stochastic teaching of the student: one guide, drawn anew, is silent in each
# step. Objective: as in the parent.
_base_ = './plain10_to_plain2_cifar100_crop.py'
drop = dict(type='mmrazor.StochasticDropConnector', mode='count', num_drop=1)
distiller = dict(
    connectors=dict(drop=drop),
    loss_forward_mappings=dict(loss_kd=dict(preds_T=dict(connector='drop'))))
chain = dict(
    networks=dict(plain2=dict(stage=dict(model=dict(distiller=distiller)))))
