using Imta.MetaWeight.Backbones.Kernels;

namespace Imta.MetaWeight.Tests.Backbones.Kernels;

/// <summary>A copy of a tensor as rows, alone or amid the channels of a wider buffer.</summary>
internal sealed class RowsOperand
{
    private const long Before = 2, After = 3;
    private const double Sentinel = 7.25;

    private readonly Tensor _buffer; // [M, row stride]
    private readonly bool _isStrided;

    public RowsOperand(Tensor values, ScalarType type, bool isStrided)
    {
        long[] shape = values.shape;
        long channels = shape[1], rows = values.numel() / channels, stride = isStrided ? Before + channels + After : channels;
        long[] strides = shape.Length == 2 ? [stride, 1] : [shape[2] * shape[3] * stride, 1, shape[3] * stride, stride];
        _isStrided = isStrided;
        _buffer = full([rows, stride], Held(Sentinel), type);
        Rows = _buffer.as_strided(shape, strides, isStrided ? Before : 0);
        _ = Rows.copy_(values);
    }

    public Tensor Rows { get; }

    public void CheckNeighbours()
    {
        if (_isStrided)
        {
            long channels = Rows.shape[1];
            foreach (Tensor neighbours in new[] { _buffer.narrow(1, 0, Before), _buffer.narrow(1, Before + channels, After) })
            {
                neighbours.ne(Held(Sentinel)).sum().item<long>().Should().Be(0, "neighbours keep their values");
            }
        }
    }
}
