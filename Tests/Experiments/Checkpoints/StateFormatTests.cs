using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

namespace Imta.MetaWeight.Tests.Experiments.Checkpoints;

/// <summary>States in PyTorch's values.</summary>
public sealed class StateFormatTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Fact]
    public void A_state_comes_back_from_its_dictionary()
    {
        var state = new StateTree
        {
            Tensors = { ["w"] = ones([2]) },
            Numbers = { ["step"] = 3, ["seconds"] = 1.5 },
            Groups = { ["inner"] = new StateTree { Tensors = { ["v"] = zeros([1]) } }, ["empty"] = new StateTree() },
        };

        TorchDictionary written = StateFormat.Write(state);
        StateTree read = StateFormat.Read(written);

        (written["step"], written["seconds"]).Should().Be((new TorchInteger(3), new TorchFloat(1.5)));
        read.AllTensors.Should().Equal(state.AllTensors);
        read.Numbers.Should().Equal(state.Numbers);
        read.Groups.Keys.Should().Equal("inner", "empty");
    }

    [Fact]
    public void What_is_no_state_is_left_out()
    {
        var content = new TorchDictionary
        {
            ["config"] = "text",
            ["none"] = TorchNone.Value,
            ["flag"] = true,
            ["list"] = new TorchList([1L]),
            [4] = 2.0,
        };

        StateTree read = StateFormat.Read(content);

        read.Tensors.Should().BeEmpty();
        read.Groups.Should().BeEmpty();
        read.Numbers.Should().Equal(new Dictionary<string, double> { ["4"] = 2 });
    }
}
