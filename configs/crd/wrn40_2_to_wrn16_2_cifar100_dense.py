# The standard CIFAR-100 table's WRN-40-2 and 16-2, three TAs between them.
# Objective: CE + 0.8 CRD (see _base_/distillers).
_base_ = [
    '../_base_/chains/wrn40_2_to_wrn16_2_cifar100.py',
    '../_base_/distillers/crd.py',
    '../_base_/datasets/cifar100_bs64.py',
    '../_base_/schedules/sgd_240e.py',
    '../_base_/default_runtime.py',
]
# It caches logits, no features.
chain = dict(logit_store=None)
model = dict(
    distiller=dict(
        edges=dict(
            default=dict(
                connectors=dict(
                    of_student=dict(dim_in=128), of_guide=dict(dim_in=128))))))
