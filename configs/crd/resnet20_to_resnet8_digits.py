# ResNet-20-14-8 on the digits, each distilled from all before it.
# Objective: CE + 0.8 CRD (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_digits.py',
    '../_base_/distillers/crd.py',
    '../_base_/datasets/digits_bs64.py',
    '../_base_/schedules/sgd_20e_onecycle.py',
    '../_base_/default_runtime.py',
]
crd = dict(neg_num=512, sample_n=1442)
model = dict(
    distiller=dict(
        edges=dict(default=dict(distill_losses=dict(loss_crd=crd)))))
# It caches logits, no features.
chain = dict(logit_store=None)
