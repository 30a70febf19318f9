# CE + DIST.
_base_ = ['./logits_edge.py', './dist_edge.py']
model = dict(distiller=dict(edges=dict(default={{_base_.dist_edge}})))
