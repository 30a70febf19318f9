# ResNet-20-14-8; each network is distilled from those of many Dropout passes
# of a teacher that are nearest to it.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet20_to_resnet8_digits.py',
    '../_base_/distillers/student_guided.py',
    '../_base_/datasets/digits_bs64.py',
    '../_base_/schedules/sgd_20e_onecycle.py',
    '../_base_/default_runtime.py',
]
# The teachers' logits differ in each step.
chain = dict(logit_store=None)
