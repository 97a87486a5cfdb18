using System.Runtime.InteropServices;
using Imta.MetaWeight.Backbones.Kernels;

namespace Imta.MetaWeight.Tests.Backbones.Kernels;

/// <summary>libtorch's own convolutions in float32, whatever it computes them with on this processor.</summary>
public sealed class LibtorchBackendsTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    /// <summary>Channels in full blocks of oneDNN's, and not.</summary>
    [Theory]
    [InlineData(1, 20, 3)]
    [InlineData(3, 6, 3)]
    [InlineData(16, 16, 3)]
    [InlineData(17, 8, 3)]
    [InlineData(24, 40, 3)]
    [InlineData(40, 24, 5)]
    [InlineData(100, 20, 1)]
    public void They_are_those_of_float64(long input, long output, long kernel)
    {
        TorchLibraries.Prepare();
        using var random = new Generator(5);
        Tensor images = randn([4, input, 9, 9], float64, generator: random);
        Tensor weight = randn([output, input, kernel, kernel], float64, generator: random);
        Tensor cotangent = randn([4, output, 9, 9], float64, generator: random);

        foreach (bool last in new[] { false, true })
        {
            foreach ((Tensor found, Tensor exact) in Convolve(float32, last).Zip(Convolve(float64, last)))
            {
                found.to(float64).sub(exact).abs().max().div(exact.abs().max()).item<double>().Should().BeLessThan(1e-5);
            }
        }

        Tensor[] Convolve(ScalarType type, bool channelsLast)
        {
            Tensor x = images.to(type), w = weight.to(type).clone().requires_grad_();
            x = (channelsLast ? x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2) : x.clone()).requires_grad_();
            Tensor y = nn.functional.conv2d(x, w, padding: [kernel / 2, kernel / 2]);
            y.backward([cotangent.to(type)]);
            return [y.detach(), x.grad!, w.grad!];
        }
    }

    [Theory]
    [InlineData(LibtorchBackends.Nnpack)]
    [InlineData(LibtorchBackends.OneDnn)]
    public void The_package_has_the_switch(string backend)
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "elsewhere nothing is switched");
        string library = Path.Combine(AppContext.BaseDirectory, "libtorch", "libtorch_cpu.so");

        NativeLibrary.TryGetExport(NativeLibrary.Load(library), backend, out _).Should().BeTrue();
    }

    public void Dispose() => _scope.Dispose();
}
