using Imta.MetaWeight.Backbones;
using TorchSharp.Modules;
using static TorchSharp.torch;

internal sealed class SmallNetwork : MultiExitNetwork
{
    private readonly Stage[] _stages;

    public SmallNetwork(int exits, long width, int classes, LayerFactory factory)
        : base("SmallNetwork")
    {
        (Exits, Classes) = (exits, classes);
        _stages = [.. Enumerable.Range(0, exits).Select(k => new Stage(k == 0 ? 3 : width, width, classes, factory))];
        for (int k = 0; k < exits; k++) register_module($"stage{k}", _stages[k]);
    }

    public override int Exits { get; }
    public override int Classes { get; }
    public override bool IsLinearisable => true;

    protected override Tensor[] Block(int k, Tensor[] features, Pass pass) => [_stages[k].Features(features[0], pass)];
    protected override Tensor Exit(int k, Tensor[] features, Tensor? earlier, Pass pass) => _stages[k].Logits(features[0], pass);
}

internal sealed class Stage : NamedModule
{
    private readonly Parameter _kernel, _scale, _shift, _head, _bias;
    private readonly Tensor _mean, _variance;

    public Stage(long input, long width, long classes, LayerFactory factory)
        : base("Stage")
    {
        register_parameter("kernel", _kernel = factory.ConvolutionWeight(width, input, kernel: 3));
        register_parameter("scale", _scale = factory.Constant(width, 1));
        register_parameter("shift", _shift = factory.Constant(width, 0));
        register_parameter("head", _head = factory.LinearWeight(classes, width));
        register_parameter("bias", _bias = factory.Bias(classes, width));
        register_buffer("mean", _mean = factory.Buffer(width, 0));
        register_buffer("variance", _variance = factory.Buffer(width, 1));
    }

    public Tensor Features(Tensor x, Pass pass) // [N, C', H, W] to [N, width, H/2, W/2]
    {
        bool training = pass.Statistics != NormStatistics.Running, remember = pass.Statistics != NormStatistics.Batch;
        Tensor z = nn.functional.conv2d(x, pass[_kernel], strides: [2, 2], padding: [1, 1]);
        pass.Tape?.Add(new ConvolutionMap(x, _kernel, pass), z, x);
        Tensor y = nn.functional.batch_norm(z, remember ? _mean : null!, remember ? _variance : null!, pass[_scale], pass[_shift], training)
            .relu();
        pass.Tape?.Add(new NormReluMap(z, y, _scale, _shift, pass), y, z);
        return y;
    }

    public Tensor Logits(Tensor x, Pass pass) // [N, C]
    {
        Tensor z = nn.functional.linear(x.mean([2, 3]), pass[_head], pass[_bias]);
        pass.Tape?.Add(new HeadMap(x, _head, _bias, pass), z, x);
        return z;
    }
}
