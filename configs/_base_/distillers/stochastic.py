# Stochastic teaching: in each step one random teacher is dropped. For the
# `stage.model` of the student.
stochastic_teaching = dict(
    distiller=dict(
        connectors=dict(
            drop=dict(
                type='mmrazor.StochasticDropConnector',
                mode='count',
                num_drop=1)),
        loss_forward_mappings=dict(
            loss_kd=dict(preds_T=dict(connector='drop')))))
