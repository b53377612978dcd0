"""Pieces of models: pure functions over arrays, to be called inside any function that diffkit differentiates, or on NumPy's arrays.

`layers/` what networks are made of, `models/` whole networks; `activations`, `losses`, `penalties` functions without parameters;
`augmentation` changes images at random; `initialisers` first values of parameters, from a seed.

Parameters are plain arrays in any nest of dicts, lists and tuples. Names are loaded when first used.
"""

from __future__ import annotations

from ..lazy import lazily

_PLACES = {
    **dict.fromkeys(("linear", "mlp"), ".layers.linear"),
    **dict.fromkeys(("avg_pool2d", "conv2d", "init_conv2d", "max_pool2d"), ".layers.convolution"),
    **dict.fromkeys(
        ("batch_norm", "fuse_batch_norm", "group_norm", "init_batch_norm", "init_norm", "instance_norm", "layer_norm"),
        ".layers.normalisation",
    ),
    "dropout": ".layers.dropout",
    **dict.fromkeys(
        ("encode_sequence", "gru", "gru_cell", "init_gru", "init_lstm", "init_rnn", "lstm", "lstm_cell", "rnn", "rnn_cell"),
        ".layers.recurrent",
    ),
    **dict.fromkeys(("dense_block", "residual"), ".layers.residual"),
    **dict.fromkeys(("init_lenet5", "lenet5"), ".models.lenet"),
    **dict.fromkeys(("random_flip", "random_noise", "random_shift"), ".augmentation"),
    **dict.fromkeys(
        (
            "elu", "gelu", "identity", "leaky_relu", "log_softmax", "prelu", "relu", "selu", "sigmoid", "silu", "softmax",
            "softplus", "swish", "tanh",
        ),
        ".activations",
    ),
    **dict.fromkeys(
        (
            "binary_cross_entropy", "binary_cross_entropy_with_logits", "multiclass_hinge", "softmax_cross_entropy",
            "squared_error",
        ),
        ".losses",
    ),
    **dict.fromkeys(("elastic_net", "l1", "l2"), ".penalties"),
    **dict.fromkeys(
        (
            "gain_of", "init_kaiming_normal", "init_kaiming_uniform", "init_lecun_normal", "init_linear", "init_mlp", "init_normal",
            "init_orthogonal", "init_uniform", "init_xavier_normal", "init_xavier_uniform", "init_zeros",
        ),
        ".initialisers",
    ),
}  # fmt: skip
__getattr__, __dir__, __all__ = lazily(__name__, _PLACES)
