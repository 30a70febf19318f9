# ResNet-110-56-32-20-14-8; each network is distilled from those of many
# Dropout passes of a teacher that are nearest to it.
# Objective: the averaged form (see _base_/distillers).
_base_ = [
    '../_base_/chains/resnet110_to_resnet8_cifar100.py',
    '../_base_/distillers/student_guided.py',
    '../_base_/datasets/cifar100_bs128.py',
    '../_base_/schedules/sgd_160e.py',
    '../_base_/default_runtime.py',
]
# The teachers' logits differ in each step.
chain = dict(logit_store=None)
