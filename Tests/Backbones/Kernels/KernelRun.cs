using Imta.MetaWeight.Backbones.Kernels;

namespace Imta.MetaWeight.Tests.Backbones.Kernels;

/// <summary>All results of the kernels, and the same from libtorch.</summary>
internal static class KernelRun
{
    public const double Eps = 1e-5, Momentum = 0.1;

    /// <summary>All kernels on the inputs; rows that stand in wider buffers must leave their neighbours alone.</summary>
    public static KernelResults Ours(KernelInputs inputs, bool isStrided)
    {
        ScalarType type = inputs.Type;
        Tensor[] values = [inputs.Z, inputs.G, inputs.T1, inputs.T2, inputs.Z, inputs.Z, inputs.Z];
        RowsOperand[] operands = [.. values.Select(rows => new RowsOperand(rows, type, isStrided))];
        Tensor[] rows = [.. operands.Select(operand => operand.Rows)];
        (Tensor z, Tensor g, Tensor t1, Tensor t2) = (rows[0], rows[1], rows[2], rows[3]);
        (Tensor y, Tensor dz, Tensor dy) = (rows[4], rows[5], rows[6]);
        Tensor weight = inputs.Weight.to(type), bias = inputs.Bias.to(type);
        Tensor dWeight = inputs.DWeight.to(type), dBias = inputs.DBias.to(type);
        Tensor runningMean = inputs.DBias.to(type, copy: true), runningVar = inputs.Weight.to(type, copy: true);
        Tensor gradWeight = zeros_like(weight), gradBias = zeros_like(weight);
        Tensor saved = zeros([4, inputs.Channels], type);

        NormReluKernels.Forward(z, weight, bias, Eps, runningMean, runningVar, Momentum, y, saved);
        NormReluKernels.Backward(g, z, saved, dz, gradWeight, gradBias);
        NormReluKernels.Tangent(t1, t2, z, dWeight, dBias, saved, dy);

        Array.ForEach(operands, operand => operand.CheckNeighbours());
        return new()
        {
            ["y"] = Double(y),
            ["mean"] = Double(saved[0]),
            ["invstd"] = Double(saved[1]),
            ["runningMean"] = Double(runningMean),
            ["runningVar"] = Double(runningVar),
            ["dz"] = Double(dz),
            ["dWeight"] = Double(gradWeight),
            ["dBias"] = Double(gradBias),
            ["dy"] = Double(dy) * inputs.Clear,
        };
    }

    /// <summary>
    /// The same from libtorch: gradients by autograd, the tangent from the normalisation's own gradient, whose Jacobian is symmetric.
    /// </summary>
    public static KernelResults Libtorchs(KernelInputs inputs, ScalarType type)
    {
        Tensor z = Leaf(inputs.Z), weight = Leaf(inputs.Weight), bias = Leaf(inputs.Bias);
        Tensor runningMean = inputs.DBias.to(type, copy: true), runningVar = inputs.Weight.to(type, copy: true);
        Tensor normed = nn.functional.batch_norm(z, runningMean, runningVar, weight, bias, training: true, Momentum, Eps);
        Tensor y = normed.relu();
        IList<Tensor> gradients = autograd.grad([y], [z, weight, bias], [inputs.G.to(type)]);
        (z, weight) = (z.detach(), weight.detach());
        (_, Tensor mean, Tensor invstd) = MissingOperators.NativeBatchNorm(z, weight, bias.detach(), null, null, Momentum, Eps);
        Tensor direction = inputs.T1.add(inputs.T2, One).to(type);
        (Tensor tangent, _, _) = MissingOperators.NativeBatchNormBackward(direction, z, weight, mean, invstd, Eps, byParameters: false);
        Tensor standardised = (z - Channelwise(mean)) * Channelwise(invstd);
        tangent = tangent.add(standardised * Channelwise(inputs.DWeight.to(type)), One).add(Channelwise(inputs.DBias.to(type)), One);
        return new()
        {
            ["y"] = Double(y.detach()),
            ["mean"] = Double(mean),
            ["invstd"] = Double(invstd),
            ["runningMean"] = Double(runningMean),
            ["runningVar"] = Double(runningVar),
            ["dz"] = Double(gradients[0]),
            ["dWeight"] = Double(gradients[1]),
            ["dBias"] = Double(gradients[2]),
            ["dy"] = Double(tangent * normed.detach().gt(Held(0)).to(type)) * inputs.Clear,
        };

        Tensor Leaf(Tensor values) => values.to(type, copy: true).requires_grad_();

        Tensor Channelwise(Tensor values) => z.dim() == 2 ? values : values.view(-1, 1, 1);
    }

    public static Tensor Double(Tensor tensor) => tensor.to(ScalarType.Float64);

    public static double[] Elements(Tensor tensor) => Double(tensor).contiguous().data<double>().ToArray();

    /// <summary>The largest error, as a share of the largest exact value, or of a magnitude above it.</summary>
    public static double Error(Tensor actual, Tensor exact, double magnitude)
        => (actual - exact).abs().max().item<double>() / Math.Max(magnitude, exact.abs().max().item<double>());
}
