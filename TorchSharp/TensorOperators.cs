using Imta.MetaWeight.Native;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>How a quotient is rounded.</summary>
    public enum RoundingMode
    {
        None = 0,
    }

    // Every method below is the operator of its name; libtorch's documentation holds. A trailing underscore means: in place; the
    // result is another object for the same native tensor, with an owner of its own, as the package has it.
    public partial class Tensor
    {
        public Tensor abs() => new(Aten.Abs.Invoke(Arg));

        public Tensor exp() => new(Aten.Exp.Invoke(Arg));

        public Tensor log() => new(Aten.Log.Invoke(Arg));

        public Tensor sqrt() => new(Aten.Sqrt.Invoke(Arg));

        public Tensor neg() => new(Aten.Neg.Invoke(Arg));

        public Tensor sigmoid() => new(Aten.Sigmoid.Invoke(Arg));

        public Tensor tanh() => new(Aten.Tanh.Invoke(Arg));

        public Tensor relu() => new(Aten.Relu.Invoke(Arg));

        public Tensor detach() => new(Aten.Detach.Invoke(Arg));

        public Tensor t() => new(Aten.T.Invoke(Arg));

        public Tensor isfinite() => new(Aten.IsFinite.Invoke(Arg));

        public Tensor logical_not() => new(Aten.LogicalNot.Invoke(Arg));

        public Tensor nonzero() => new(Aten.Nonzero.Invoke(Arg));

        public Tensor mean() => new(Aten.Mean.Invoke(Arg));

        public Tensor all() => new(Aten.All.Invoke(Arg));

        public Tensor any() => new(Aten.Any.Invoke(Arg));

        public Tensor max() => new(Aten.Max.Invoke(Arg));

        public Tensor min() => new(Aten.Min.Invoke(Arg));

        public Tensor contiguous() => new(Aten.Contiguous.Invoke(Arg));

        public Tensor clone() => new(Aten.Clone.Invoke(Arg));

        public Tensor add(Tensor target) => new(Aten.Add.Invoke(Arg, target.Arg));

        public Tensor add(Tensor target, Scalar alpha) => new(Aten.Add.Invoke(Arg, target.Arg, alpha.Arg));

        public Tensor add(Scalar scalar) => new(Aten.AddScalar.Invoke(Arg, scalar.Arg));

        public Tensor add_(Tensor target) => new(Aten.AddInPlace.Invoke(Arg, target.Arg));

        public Tensor add_(Tensor target, Scalar alpha) => new(Aten.AddInPlace.Invoke(Arg, target.Arg, alpha.Arg));

        public Tensor add_(Scalar scalar) => new(Aten.AddScalarInPlace.Invoke(Arg, scalar.Arg));

        public Tensor addcdiv_(Tensor tensor1, Tensor tensor2, Scalar value) => new(Aten.AddcdivInPlace.Invoke(Arg, tensor1.Arg, tensor2.Arg, value.Arg));

        public Tensor addcmul_(Tensor tensor1, Tensor tensor2, Scalar value) => new(Aten.AddcmulInPlace.Invoke(Arg, tensor1.Arg, tensor2.Arg, value.Arg));

        public Tensor sub(Tensor target) => new(Aten.Sub.Invoke(Arg, target.Arg));

        public Tensor sub(Scalar target) => new(Aten.SubScalar.Invoke(Arg, target.Arg));

        public Tensor mul(Tensor target) => new(Aten.Mul.Invoke(Arg, target.Arg));

        public Tensor mul(Scalar target) => new(Aten.MulScalar.Invoke(Arg, target.Arg));

        public Tensor mul_(Tensor target) => new(Aten.MulInPlace.Invoke(Arg, target.Arg));

        public Tensor mul_(Scalar target) => new(Aten.MulScalarInPlace.Invoke(Arg, target.Arg));

        public Tensor eq(Tensor target) => new(Aten.Eq.Invoke(Arg, target.Arg));

        public Tensor eq(Scalar target) => new(Aten.EqScalar.Invoke(Arg, target.Arg));

        public Tensor ne(Tensor target) => new(Aten.Ne.Invoke(Arg, target.Arg));

        public Tensor ne(Scalar target) => new(Aten.NeScalar.Invoke(Arg, target.Arg));

        public Tensor lt(Tensor target) => new(Aten.Lt.Invoke(Arg, target.Arg));

        public Tensor lt(Scalar target) => new(Aten.LtScalar.Invoke(Arg, target.Arg));

        public Tensor le(Tensor target) => new(Aten.Le.Invoke(Arg, target.Arg));

        public Tensor le(Scalar target) => new(Aten.LeScalar.Invoke(Arg, target.Arg));

        public Tensor gt(Tensor target) => new(Aten.Gt.Invoke(Arg, target.Arg));

        public Tensor gt(Scalar target) => new(Aten.GtScalar.Invoke(Arg, target.Arg));

        public Tensor ge(Tensor target) => new(Aten.Ge.Invoke(Arg, target.Arg));

        public Tensor ge(Scalar target) => new(Aten.GeScalar.Invoke(Arg, target.Arg));

        public Tensor pow(Scalar exponent) => new(Aten.PowScalar.Invoke(Arg, exponent.Arg));

        public Tensor logical_and(Tensor other) => new(Aten.LogicalAnd.Invoke(Arg, other.Arg));

        public Tensor relu_() => new(Aten.ReluInPlace.Invoke(Arg));

        public Tensor sqrt_() => new(Aten.SqrtInPlace.Invoke(Arg));

        public Tensor zero_() => new(Aten.ZeroInPlace.Invoke(Arg));

        public Tensor fill_(Scalar value) => new(Aten.FillInPlace.Invoke(Arg, value.Arg));

        public Tensor copy_(Tensor source, bool nonBlocking = false) => new(Aten.CopyInPlace.Invoke(Arg, source.Arg, nonBlocking));

        public Tensor uniform_(double from, double to, Generator? generator = null) => new(Aten.UniformInPlace.Invoke(Arg, from, to, generator?.Arg ?? Argument.None));

        public Tensor normal_(double mean = 0, double std = 1, Generator? generator = null) => new(Aten.NormalInPlace.Invoke(Arg, mean, std, generator?.Arg ?? Argument.None));

        public Tensor scatter_(long dim, Tensor index, Tensor src) => new(Aten.ScatterInPlace.Invoke(Arg, dim, index.Arg, src.Arg));

        public Tensor index_copy_(long dim, Tensor index, Tensor source) => new(Aten.IndexCopyInPlace.Invoke(Arg, dim, index.Arg, source.Arg));

        public Tensor matmul(Tensor target) => new(Aten.Matmul.Invoke(Arg, target.Arg));

        public Tensor sum(ScalarType? type = null) => new(Aten.Sum.Invoke(Arg, torch.Arg(type)));

        public Tensor sum(long dim, bool keepdim = false, ScalarType? type = null) => new(Aten.SumDim.Invoke(Arg, new[] { dim }, keepdim, torch.Arg(type)));

        public Tensor sum(long[] dim, bool keepdim = false, ScalarType? type = null) => new(Aten.SumDim.Invoke(Arg, dim, keepdim, torch.Arg(type)));

        public Tensor mean(long[] dimensions, bool keepdim = false, ScalarType? type = null) => new(Aten.MeanDim.Invoke(Arg, dimensions, keepdim, torch.Arg(type)));

        public Tensor std(long[] dimensions, bool unbiased = true, bool keepdim = false, ScalarType? type = null)
        {
            using Tensor? converted = type is { } wanted ? to_type(wanted) : null;
            return new(Aten.StdDim.Invoke((converted ?? this).Arg, dimensions, unbiased, keepdim));
        }

        public Tensor cumsum(long dim, ScalarType? type = null) => new(Aten.Cumsum.Invoke(Arg, dim, torch.Arg(type)));

        public Tensor all(long dim, bool keepdim = false) => new(Aten.AllDim.Invoke(Arg, dim, keepdim));

        public Tensor argmax(long dim, bool keepdim = false) => new(Aten.Argmax.Invoke(Arg, dim, keepdim));

        public (Tensor values, Tensor indexes) max(long dim, bool keepdim = false) => Pair(Aten.MaxDim.InvokeMany(Arg, dim, keepdim));

        public (Tensor values, Tensor indexes) topk(int k, int dim = -1, bool largest = true, bool sorted = true) => Pair(Aten.TopK.InvokeMany(Arg, (long)k, (long)dim, largest, sorted));

        public (Tensor Values, Tensor Indices) sort(long dim = -1, bool descending = false, bool stable = false) => Pair(Aten.Sort.InvokeMany(Arg, stable, dim, descending));

        public Tensor softmax(long dim, ScalarType? dtype = null) => new(Aten.Softmax.Invoke(Arg, dim, torch.Arg(dtype)));

        public Tensor log_softmax(long dim, ScalarType? dtype = null) => new(Aten.LogSoftmax.Invoke(Arg, dim, torch.Arg(dtype)));

        public Tensor clamp(Scalar? min = null, Scalar? max = null) => new(Aten.Clamp.Invoke(Arg, min?.Arg ?? Argument.None, max?.Arg ?? Argument.None));

        public Tensor gather(long dim, Tensor index) => new(Aten.Gather.Invoke(Arg, dim, index.Arg));

        public Tensor index_select(long dim, Tensor index) => new(Aten.IndexSelect.Invoke(Arg, dim, index.Arg));

        public Tensor masked_fill(Tensor mask, Scalar value) => new(Aten.MaskedFill.Invoke(Arg, mask.Arg, value.Arg));

        public Tensor masked_select(Tensor mask) => new(Aten.MaskedSelect.Invoke(Arg, mask.Arg));

        public Tensor narrow(long dim, long start, long length) => new(Aten.Narrow.Invoke(Arg, dim, start, length));

        public Tensor select(long dim, long index) => new(Aten.Select.Invoke(Arg, dim, index));

        public Tensor slice(long dim, long start, long finish, long step) => new(Aten.Slice.Invoke(Arg, dim, start, finish, step));

        public Tensor[] chunk(long chunks, long dim = 0) => Array.ConvertAll(Aten.Chunk.InvokeMany(Arg, chunks, dim), handle => new Tensor(handle));

        public Tensor unsqueeze(long dim) => new(Aten.Unsqueeze.Invoke(Arg, dim));

        public Tensor squeeze(long? dim = null) => new(dim is { } d ? Aten.SqueezeDim.Invoke(Arg, d) : Aten.Squeeze.Invoke(Arg));

        public Tensor flatten(long start_dim = 0, long end_dim = -1) => new(Aten.Flatten.Invoke(Arg, start_dim, end_dim));

        public Tensor transpose(long dim0, long dim1) => new(Aten.Transpose.Invoke(Arg, dim0, dim1));

        public Tensor permute(params long[] permutation) => new(Aten.Permute.Invoke(Arg, permutation));

        public Tensor view(params long[] shape) => new(Aten.View.Invoke(Arg, shape));

        public Tensor reshape(params long[] shape) => new(Aten.Reshape.Invoke(Arg, shape));

        public Tensor expand(params long[] sizes) => new(Aten.Expand.Invoke(Arg, sizes));

        public Tensor repeat(params long[] sizes) => new(Aten.Repeat.Invoke(Arg, sizes));

        public Tensor flip(params long[] dims) => new(Aten.Flip.Invoke(Arg, dims));

        public Tensor as_strided(long[] size, long[] strides, long storageOffset = 0) => new(Aten.AsStrided.Invoke(Arg, size, strides, storageOffset));

        public Tensor bincount(Tensor? weights, long minlength = 0) => new(Aten.Bincount.Invoke(Arg, weights?.Arg ?? Argument.None, minlength));

        public Tensor cpu() => to(CPU);

        public Tensor @float() => to_type(ScalarType.Float32);

        public Tensor @double() => to_type(ScalarType.Float64);

        public Tensor @long() => to_type(ScalarType.Int64);

        public Tensor to(Device device, bool copy = false, bool disposeAfter = false, bool non_blocking = false) => Then(disposeAfter, Aten.ToDevice.Invoke(Arg, device.Arg, (long)dtype, non_blocking, copy));

        public Tensor to(ScalarType type, bool copy = false, bool disposeAfter = false, bool non_blocking = false) => Then(disposeAfter, Aten.ToDtype.Invoke(Arg, (long)type, non_blocking, copy));

        public Tensor to_type(ScalarType type, bool copy = false, bool disposeAfter = false, bool non_blocking = false) => to(type, copy, disposeAfter, non_blocking);

        public Tensor div(Tensor target, RoundingMode rounding_mode = RoundingMode.None) => new(Aten.Div.Invoke(Arg, target.Arg));

        public Tensor div(Scalar target, RoundingMode rounding_mode = RoundingMode.None) => new(Aten.DivScalar.Invoke(Arg, target.Arg));

        public static Tensor operator +(Tensor left, Tensor right) => left.add(right);

        public static Tensor operator +(Tensor left, double right) => left.add((Scalar)right);

        public static Tensor operator +(Tensor left, float right) => left.add((Scalar)right);

        public static Tensor operator +(Tensor left, long right) => left.add((Scalar)right);

        public static Tensor operator +(Tensor left, int right) => left.add((Scalar)right);

        public static Tensor operator +(double left, Tensor right) => right.add((Scalar)left);

        public static Tensor operator +(float left, Tensor right) => right.add((Scalar)left);

        public static Tensor operator +(long left, Tensor right) => right.add((Scalar)left);

        public static Tensor operator +(int left, Tensor right) => right.add((Scalar)left);

        public static Tensor operator *(Tensor left, Tensor right) => left.mul(right);

        public static Tensor operator *(Tensor left, double right) => left.mul((Scalar)right);

        public static Tensor operator *(Tensor left, float right) => left.mul((Scalar)right);

        public static Tensor operator *(Tensor left, long right) => left.mul((Scalar)right);

        public static Tensor operator *(Tensor left, int right) => left.mul((Scalar)right);

        public static Tensor operator *(double left, Tensor right) => right.mul((Scalar)left);

        public static Tensor operator *(float left, Tensor right) => right.mul((Scalar)left);

        public static Tensor operator *(long left, Tensor right) => right.mul((Scalar)left);

        public static Tensor operator *(int left, Tensor right) => right.mul((Scalar)left);

        public static Tensor operator -(Tensor left, Tensor right) => left.sub(right);

        public static Tensor operator -(Tensor left, double right) => left.sub((Scalar)right);

        public static Tensor operator -(Tensor left, float right) => left.sub((Scalar)right);

        public static Tensor operator -(Tensor left, long right) => left.sub((Scalar)right);

        public static Tensor operator -(Tensor left, int right) => left.sub((Scalar)right);

        public static Tensor operator -(double left, Tensor right) => new(Aten.RsubScalar.Invoke(right.Arg, ((Scalar)left).Arg));

        public static Tensor operator -(float left, Tensor right) => new(Aten.RsubScalar.Invoke(right.Arg, ((Scalar)left).Arg));

        public static Tensor operator -(long left, Tensor right) => new(Aten.RsubScalar.Invoke(right.Arg, ((Scalar)left).Arg));

        public static Tensor operator -(int left, Tensor right) => new(Aten.RsubScalar.Invoke(right.Arg, ((Scalar)left).Arg));

        public static Tensor operator /(Tensor left, Tensor right) => left.div(right);

        public static Tensor operator /(Tensor left, double right) => left.div((Scalar)right);

        public static Tensor operator /(Tensor left, float right) => left.div((Scalar)right);

        public static Tensor operator /(Tensor left, long right) => left.div((Scalar)right);

        public static Tensor operator /(Tensor left, int right) => left.div((Scalar)right);

        public static Tensor operator -(Tensor tensor) => tensor.neg();

        private static (Tensor First, Tensor Second) Pair(nint[] handles) => (new Tensor(handles[0]), new Tensor(handles[1]));

        private Tensor Then(bool disposeAfter, nint result)
        {
            var tensor = new Tensor(result);
            if (disposeAfter)
            {
                Dispose();
            }

            return tensor;
        }
    }

    internal static Argument Arg(ScalarType? type) => type is { } given ? (long)given : Argument.None;
}
