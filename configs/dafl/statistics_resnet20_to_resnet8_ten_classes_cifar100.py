# ResNet-20 is trained on every tenth class of CIFAR-100, and ResNet-8 learns
# from it on images of a generator, whose statistics are those of the teacher's
# training images.
# Objective: KD at tau = 1, without labels; for the generator 1 one-hot + 5
# entropy + 0.01 activation of DAFL, and 1 gap of the batch normalization.
_base_ = 'resnet20_to_resnet8_ten_classes_cifar100.py'
model = dict(
    # A folded one has no statistics.
    teacher_options=dict(fold_bn=False),
    generator_distiller=dict(
        edges=dict(
            default=dict(
                teacher_recorders=dict(
                    gaps=dict(type='mmrazor.BatchNormGaps',
                              source='backbone')),
                distill_losses=dict(
                    loss_onehot=dict(loss_weight=1.0),
                    loss_gaps=dict(type='mmrazor.BatchNormGapLoss')),
                loss_forward_mappings=dict(
                    loss_gaps=dict(
                        gaps=dict(recorder='gaps', from_student=False)))))))
