"""Layers without time are shown by the call that makes them, with all that is not the default."""

import pytest

import layers

NORM = "num_features=2, eps=0.1, momentum=0.3"
CONV = "in_channels=2, out_channels=4, kernel_size=({0}), stride=({1}), padding=1"

SHOWN = [
    "LeakyReLU(negative_slope=0.1)",
    "ELU(alpha=2.0)",
    "CELU(alpha=2.0)",
    "GELU(approximate='tanh')",
    "Hardtanh(min_val=-2.0, max_val=3.0)",
    "Softplus(beta=2.0, threshold=20.0)",
    "PReLU(num_parameters=3, init=0.5)",
    "GLU(axis=1)",
    "Softmax(axis=1)",
    "Softmin(axis=1)",
    "LogSoftmax(axis=1)",
    f"BatchNorm1d({NORM}, affine=False, track_running_stats=False)",
    f"BatchNorm2d({NORM}, affine=False, track_running_stats=False)",
    f"InstanceNorm1d({NORM}, affine=True, track_running_stats=True)",
    f"InstanceNorm2d({NORM}, affine=True, track_running_stats=True)",
    "LayerNorm(normalized_shape=(2, 3), eps=0.1, elementwise_affine=False, bias=False)",
    "RMSNorm(normalized_shape=(2, 3), eps=0.1, elementwise_affine=False)",
    "GroupNorm(num_groups=2, num_channels=4, eps=0.1, affine=False)",
    f"Conv1d({CONV.format('3,', '2,')}, dilation=(3,), groups=2, bias=False, "
    "padding_mode='reflect')",
    f"Conv2d({CONV.format('3, 2', '2, 1')}, dilation=(3, 1), groups=2, bias=False)",
    f"ConvTranspose1d({CONV.format('3,', '2,')}, output_padding=(1,), groups=2, bias=False, "
    "dilation=(3,))",
    f"ConvTranspose2d({CONV.format('3, 2', '2, 3')}, output_padding=(1, 0), groups=2)",
    "MaxPool1d(kernel_size=(4,), stride=(3,), padding=(1,), dilation=(2,), return_indices=True, "
    "ceil_mode=True)",
    "AvgPool2d(kernel_size=(4, 2), stride=(3, 3), padding=(1, 0), count_include_pad=False)",
    "Dropout(p=0.25)",
    "Embedding(num_embeddings=5, embedding_dim=3, padding_idx=0, scale_grad_by_freq=True)",
    "Flatten(start_dim=0, end_dim=1)",
    "Unflatten(dim=1, unflattened_size=(2, 3))",
    "Linear(in_features=2, out_features=3, bias=False)",
    "Bilinear(in1_features=2, in2_features=3, out_features=4, bias=False)",
    "CrossEntropyLoss(ignore_index=3, reduction='sum', label_smoothing=0.1, axis=1)",
    "NLLLoss(ignore_index=3, reduction='sum', axis=1)",
    "HuberLoss(reduction='sum', delta=2.0)",
    "SmoothL1Loss(reduction='sum', beta=2.0)",
    "KLDivLoss(reduction='sum', log_target=True)",
    "GaussianNLLLoss(full=True, eps=0.1, reduction='sum')",
    "PoissonNLLLoss(log_input=False, full=True, eps=0.1, reduction='sum')",
    "CosineSimilarity(axis=1, eps=0.1)",
    "PairwiseDistance(p=3.0, eps=0.1, keepdim=True)",
    "CosineEmbeddingLoss(margin=0.5, reduction='sum')",
    "MultiMarginLoss(p=2, margin=0.5, reduction='sum')",
    "TripletMarginLoss(margin=0.5, p=3.0, eps=0.1, swap=True, reduction='sum')",
]


@pytest.mark.parametrize("shown", SHOWN)
def test_a_layer_is_shown_by_the_call_that_makes_it(shown):
    assert repr(eval(shown, vars(layers))) == shown
