# ResNet-8 with 8 bits, by the DIST of every teacher.
# Objective: CE + DIST (see _base_/distillers).
_base_ = [
    '../quantization/qat8_resnet20_to_resnet8_digits.py',
    '../_base_/distillers/dist_edge.py'
]
model = dict(
    distiller=dict(
        edges=dict(default={{_base_.dist_edge}}),
        # In place of KD.
        distill_losses=dict(_delete_=True),
        loss_forward_mappings=dict(_delete_=True)))
