using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Layers;
using Imta.MetaWeight.Experiments.Reports;
using Linear = Imta.MetaWeight.Backbones.Layers.Linear;
using Parameter = TorchSharp.Modules.Parameter;

namespace Imta.MetaWeight.Tests.Meta;

/// <summary>
/// Two exits in float64 on <see cref="TinyNetwork"/>'s images, of the layers that MSDNet is made of. A parameter and a layer reach no
/// exit. Uncoupled, its exits read the images themselves, after no batch norm: no sample sees another.
/// </summary>
internal sealed class TinyLinearisable : MultiExitNetwork
{
    /// <summary>Begins the names of what reaches no exit.</summary>
    public const string Unused = "unused";

    private const int Pool = 2;

    private readonly ConvolutionChain _first;
    private readonly ConvolutionChain _added;
    private readonly ConvolutionChain _unread;
    private readonly Linear[] _exits;
    private readonly bool _coupled;

    public TinyLinearisable(Generator random, bool coupled = true)
        : base("TinyLinearisable")
    {
        _coupled = coupled;
        var factory = new LayerFactory(Initialisation.Published, random, float64, CPU);

        // What nothing reads stands first, so that an index that skips it would be noticed everywhere after it.
        register_parameter(Unused, new Parameter(randn([2], float64, generator: random)));
        _unread = ConvolutionChain.Unit(factory, input: 5, output: 2, kernel: 1, stride: 1, padding: 0);
        _first = ConvolutionChain.Unit(factory, input: 3, output: 3, kernel: 3, stride: 1, padding: 1);
        _added = ConvolutionChain.Unit(factory, input: 3, output: 2, kernel: 3, stride: 1, padding: 1);
        _exits = [new Linear(factory, 3 * 2 * 2, Classes), new Linear(factory, (coupled ? 5 : 3) * 2 * 2, Classes)];
        register_module($"{Unused}_layer", _unread);
        register_module("first", _first);
        register_module("added", _added);
        register_module("exits", new Group(_exits));
    }

    public override int Exits => 2;

    public override int Classes => 3;

    public override bool IsLinearisable => true;

    protected override Tensor[] Block(int k, Tensor[] features, Pass pass)
    {
        if (!_coupled)
        {
            return features;
        }

        if (k == 0)
        {
            return [_first.Forward(features[0], pass)];
        }

        Tensor joined = Operators.Join(
            features[0], [new JoinedPart(_added.Channels, destination => _added.Forward(features[0], pass, destination))], pass);
        _unread.Forward(joined, pass);
        return [joined];
    }

    protected override Tensor Exit(int k, Tensor[] features, Tensor? earlier, Pass pass)
        => _exits[k].Forward(Operators.MeanPool(features[0], Pool, pass), pass);
}
