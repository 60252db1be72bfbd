"""Names that the configuration of a Keras model may hold: what they stand for computes on tensors, and nothing else.

Left out are layers that hold code (Lambda), call other frameworks or load models (TFSMLayer, TorchModuleWrapper,
JaxLayer, FlaxLayer), or read vocabularies from files (StringLookup, IntegerLookup, TextVectorization).
"""

import re

from attribution_bench.models.untrusted.words import words

MODELS = words("Functional Model Sequential")
LAYERS = words(
    """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention Average
    AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization
    BatchNormalizationV1 BatchNormalizationV2 Bidirectional CategoryEncoding CenterCrop Concatenate Conv1D
    Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D
    Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D Convolution3DTranspose Cropping1D
    Cropping2D Cropping3D CuDNNGRU CuDNNLSTM Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU
    EinsumDense Embedding Flatten GRU GRUCell GRUCellV1 GRUCellV2 GRUV1 GRUV2 GaussianDropout GaussianNoise
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D
    GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D GroupNormalization GroupQueryAttention Identity Input InputLayer InputSpec LSTM LSTMCell
    LSTMCellV1 LSTMCellV2 LSTMV1 LSTMV2 LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking
    MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum MelSpectrogram Minimum
    MultiHeadAttention Multiply Normalization PReLU Permute RMSNormalization RNN ReLU RepeatVector Rescaling Reshape
    Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D SeparableConvolution1D
    SeparableConvolution2D SimpleRNN SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D
    SpectralNormalization StackedRNNCells Subtract SyncBatchNormalization ThresholdedReLU TimeDistributed
    UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """
)
OF_TENSORFLOW = frozenset({"TFOpLambda", "SlicingOpLambda"})
"""Layers of Keras 2 that call a function of TensorFlow, which they name."""
INITIALIZERS = words(
    """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform Ones
    Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT STFTInitializer TruncatedNormal VarianceScaling
    Zeros constant glorot_normal glorot_uniform he_normal he_uniform identity lecun_normal lecun_uniform normal one
    ones orthogonal random_normal random_uniform stft truncated_normal uniform variance_scaling zero zeros
    """
)
REGULARIZERS = words("L1 L1L2 L2 OrthogonalRegularizer l1 l1_l2 l2 orthogonal_regularizer")
CONSTRAINTS = words(
    """
    MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm max_norm maxnorm min_max_norm non_neg nonneg radial_constraint
    unit_norm unitnorm
    """
)
ACTIVATIONS = words(
    """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid
    log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid
    sparsemax squareplus swish tanh tanh_shrink threshold
    """
)
POLICIES = words("DTypePolicy DTypePolicyMap FloatDTypePolicy Policy QuantizedDTypePolicy")
VALUES = frozenset(
    ["__keras_tensor__", "__tensor__", "__numpy__", "__ellipsis__", "__slice__", "__tuple__", "TensorShape"]
)
"""What Keras writes in place of values that JSON does not have."""
TYPES = re.compile(r"(u?int|float|bfloat|complex)\d{1,3}|bool")
"""Types of such values; a type of texts could be of any length."""
OPERATION_MODULES = re.compile(r"keras\.src\.ops\.(numpy|nn|core|math|linalg|einops)")
OPERATIONS_REFUSED = words(
    """
    AssociativeScan Cond CustomGradient ForiLoop JVP Map Scan Switch VectorizedMap WhileLoop
    Append Arange Array Full FullLike Geomspace Linspace Logspace Vectorize
    """
)
"""Operations of Keras 3 that take functions, or make arrays out of nothing."""
MODULES = re.compile(
    r"(keras|tf_keras)(\.(src|layers|models|initializers|regularizers|constraints|activations|dtype_policies"
    r"|mixed_precision|engine|convolutional|core|pooling|regularization|normalization|merging|activation|attention"
    r"|rnn|locally_connected|reshaping|preprocessing|functional|sequential|training|input_layer))*(\.\w+)?"
)
"""Modules of Keras that the names above are of."""
OF_OPERATORS = words("add eq getitem mul ne sub truediv")
OF_MATH = words(
    """
    abs acos acosh add add_n argmax argmin asin asinh atan atan2 atanh ceil cos cosh count_nonzero cumprod cumsum
    cumulative_logsumexp digamma divide divide_no_nan equal erf erfc erfinv exp expm1 floor floordiv floormod greater
    greater_equal is_finite is_inf is_nan l2_normalize less less_equal lgamma log log1p log_sigmoid log_softmax
    logical_and logical_not logical_or logical_xor maximum minimum mod multiply multiply_no_nan negative not_equal pow
    reciprocal reciprocal_no_nan reduce_all reduce_any reduce_euclidean_norm reduce_logsumexp reduce_max reduce_mean
    reduce_min reduce_prod reduce_std reduce_sum reduce_variance round rsqrt scalar_mul sigmoid sign sin sinh softmax
    softplus softsign sqrt square squared_difference subtract tan tanh top_k truediv unsorted_segment_sum xdivy xlog1py
    xlogy zero_fraction
    """
)
OF_NETWORKS = words(
    """
    avg_pool avg_pool1d avg_pool2d avg_pool3d batch_normalization bias_add conv1d conv2d conv3d convolution crelu
    depthwise_conv2d elu gelu l2_normalize leaky_relu log_softmax max_pool max_pool1d max_pool2d max_pool3d moments
    normalize relu relu6 selu sigmoid silu softmax softplus softsign swish tanh zero_fraction
    """
)
OF_MATRICES = words("band_part diag_part einsum l2_normalize matmul matvec norm tensordot")
OTHERS = words(
    """
    abs cast clip_by_value concat cumsum einsum expand_dims gather identity image.flip_left_right matmul one_hot
    ones_like pad reduce_max reduce_mean reduce_min reduce_sum reshape reverse roll shape signal.frame size slice split
    squeeze stack stop_gradient strided_slice tensordot tile transpose unstack where zeros_like compat.v1.argmax
    compat.v1.cast compat.v1.expand_dims compat.v1.gather compat.v1.math.log_softmax compat.v1.math.softmax
    compat.v1.nn.softmax compat.v1.pad compat.v1.reduce_max compat.v1.reduce_mean compat.v1.reduce_sum compat.v1.shape
    compat.v1.squeeze compat.v1.transpose compat.v1.where
    """
)
FUNCTIONS = OTHERS.union(
    (f"__operators__.{name}" for name in OF_OPERATORS),
    (f"math.{name}" for name in OF_MATH),
    (f"nn.{name}" for name in OF_NETWORKS),
    (f"linalg.{name}" for name in OF_MATRICES),
)
"""Functions of TensorFlow that layers of Keras 2 may call: each computes on the tensors that it is given."""
