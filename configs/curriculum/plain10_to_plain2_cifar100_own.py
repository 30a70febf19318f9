# The weight of the teachers of the student moves from the smallest to the
# largest over its training.
# Objective: as in the parent; the weights of the teachers change, not their
# sum.
_base_ = '../dgkd/plain10_to_plain2_cifar100_own.py'
chain = dict(
    networks=dict(
        plain2=dict(
            stage=dict(custom_hooks=[
                *_base_.custom_hooks,
                dict(type='mmrazor.CurriculumHook'),
            ]))))
