using Imta.MetaWeight.Native;

namespace TorchSharp;

public static partial class torch
{
    public static partial class nn
    {
        /// <summary>How a loss over samples becomes one number.</summary>
        public enum Reduction : long
        {
            None = 0,
            Mean = 1,
            Sum = 2,
        }

        /// <summary>The layers' operators, with their parameters as arguments.</summary>
        public static class functional
        {
            /// <summary>[N, C, H, W] * [O, C/groups, h, w] → [N, O, H′, W′].</summary>
            public static Tensor conv2d(Tensor input, Tensor weight, Tensor? bias = null, long[]? strides = null, long[]? padding = null, long[]? dilation = null, long groups = 1)
                => new(Aten.Conv2d.Invoke(input.Arg, weight.Arg, Optional(bias), strides ?? [1, 1], padding ?? [0, 0], dilation ?? [1, 1], groups));

            /// <summary>Normalises over all dimensions but the second; in training by the batch's statistics, which move the running ones where given.</summary>
            public static Tensor batch_norm(Tensor input, Tensor? running_mean, Tensor? running_var, Tensor? weight = null, Tensor? bias = null, bool training = false, double momentum = 0.1, double eps = 1E-05)
                => new(Aten.BatchNorm.Invoke(input.Arg, Optional(weight), Optional(bias), Optional(running_mean), Optional(running_var), training, momentum, eps, true));

            public static Tensor relu(Tensor x, bool inplace = false) => x.relu();

            /// <summary>[N, I] → [N, O] by a weight of [O, I].</summary>
            public static Tensor linear(Tensor input, Tensor weights, Tensor? bias = null)
                => new(Aten.Linear.Invoke(input.Arg, weights.Arg, Optional(bias)));

            public static Tensor avg_pool2d(Tensor input, long kernel_size, long? stride = null, long padding = 0, bool ceil_mode = false, bool count_include_pad = true, long? divisor_override = null)
                => new(Aten.AvgPool2d.Invoke(input.Arg, new[] { kernel_size, kernel_size }, stride is { } s ? new[] { s, s } : Array.Empty<long>(), new[] { padding, padding }, ceil_mode, count_include_pad, divisor_override is { } d ? d : Argument.None));

            public static Tensor max_pool2d(Tensor input, long kernel_size, long? stride = null, long? padding = null, long? dilation = null, bool ceil_mode = false)
                => new(Aten.MaxPool2d.Invoke(input.Arg, new[] { kernel_size, kernel_size }, stride is { } s ? new[] { s, s } : Array.Empty<long>(), new[] { padding ?? 0, padding ?? 0 }, new[] { dilation ?? 1, dilation ?? 1 }, ceil_mode));

            /// <summary>Other heights and widths: [N, C, H, W] → [N, C, size]. Only bilinear with aligned corners is bound here.</summary>
            /// <exception cref="NotSupportedException">Anything else is asked for.</exception>
            public static Tensor interpolate(Tensor x, long[]? size = null, double[]? scale_factor = null, InterpolationMode mode = InterpolationMode.Nearest, bool? align_corners = null, bool recompute_scale_factor = false, bool antialias = false)
                => (size, mode, align_corners, antialias) is ({ Length: 2 } target, InterpolationMode.Bilinear, true, false)
                    ? new(Aten.UpsampleBilinear2d.Invoke(x.Arg, target, true, Argument.None, Argument.None))
                    : throw new NotSupportedException($"interpolation by {mode} is bound here for Bilinear, a height and a width, and aligned corners only.");

            /// <summary>Logits [N, C] (or [N, C, …]) and class indices [N] (or [N, …]).</summary>
            public static Tensor cross_entropy(Tensor input, Tensor target, Tensor? weight = null, long ignore_index = -100, Reduction reduction = Reduction.Mean, double label_smoothing = 0)
                => new(Aten.CrossEntropy.Invoke(input.Arg, target.Arg, Optional(weight), (long)reduction, ignore_index, label_smoothing));

            public static Tensor softmax(Tensor input, long dim, ScalarType? dtype = null) => input.softmax(dim, dtype);

            public static Tensor log_softmax(Tensor x, long dim) => x.log_softmax(dim);

            /// <summary>Fills around the last dimensions; <paramref name="pad"/> is (left, right, top, bottom, …).</summary>
            /// <exception cref="NotSupportedException">A mode other than a constant.</exception>
            public static Tensor pad(Tensor input, long[] pad, PaddingModes mode = PaddingModes.Constant, double value = 0)
                => mode is PaddingModes.Constant or PaddingModes.Zeros
                    ? new(Aten.ConstantPad.Invoke(input.Arg, pad, value))
                    : throw new NotSupportedException($"padding by {mode} is not bound here.");

            private static Argument Optional(Tensor? tensor) => tensor?.Arg ?? Argument.None;
        }
    }
}
