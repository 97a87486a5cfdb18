using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Experiments.Benchmarks;
using Imta.MetaWeight.Experiments.Sweeps;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Xunit.Abstractions;

namespace Imta.MetaWeight.Tests.Experiments.Verification;

/// <summary>This build against everything that the published implementations computed and that it covers, in float64.</summary>
public sealed class GoldenVerificationTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("msdnet_cifar_a.pt", 10)]
    [InlineData("msdnet_cifar_b.pt", 10)]
    [InlineData("msdnet_cifar_c.pt", 10)]
    [InlineData("msdnet_imagenet_a.pt", 7)]
    [InlineData("ranet_cifar_readme.pt", 10)]
    [InlineData("ranet_cifar_sh.pt", 10)]
    [InlineData("imta_ge_a.pt", 9)]
    [InlineData("imta_isc_a.pt", 10)]
    [InlineData("allocation.pt", 17)]
    [InlineData("dynamic_eval_main.pt", 9)]
    [InlineData("dynamic_eval_few.pt", 9)]
    [InlineData("dynamic_eval_tied.pt", 9)]
    [InlineData("rivals/risk_control.pt", 109)]
    [InlineData("rivals/failure_auroc.pt", 1)]
    [InlineData("names_imagenet_step4.csv", 2)]
    [InlineData("names_imagenet_step6.csv", 2)]
    [InlineData("names_imagenet_step7.csv", 2)]
    [InlineData("class_balanced_weights.csv", 1)]
    [InlineData("rivals/pcgrad.pt", 28)]
    [InlineData("rivals/cagrad.pt", 95)]
    [InlineData("rivals/nash.pt", 35)]
    [InlineData("rivals/metagf_layer.pt", 11)]
    [InlineData("rivals/metagf_channel.pt", 20)]
    [InlineData("rivals/metagf_pair.pt", 3)]
    [InlineData("rivals/metagf_coefficient.pt", 5)]
    [InlineData("rivals/weighting.pt", 19)]
    [InlineData("rivals/boostnet.pt", 30)]
    [InlineData("pytorch_files/dtypes_zip.pt", 19)]
    [InlineData("pytorch_files/dtypes_legacy.pt", 19)]
    [InlineData("pytorch_files/views_zip.pt", 15)]
    [InlineData("pytorch_files/views_legacy.pt", 15)]
    [InlineData("pytorch_files/l2w_checkpoint_zip.pth.tar", 14)]
    [InlineData("pytorch_files/l2w_checkpoint_legacy.pth.tar", 14)]
    [InlineData("pytorch_files/l2w_fullshape_views.pth.tar", 7)]
    [InlineData("pytorch_files/imta_phase1_module.pth.tar", 5)]
    [InlineData("pytorch_files/imta_phase2_module.pth.tar", 5)]
    public void Every_quantity_of_a_file_is_the_published_one(string file, int quantities)
    {
        IReadOnlyList<VerifiedQuantity> found = Verify(file);

        found.Where(quantity => quantity.Verdict != Verdict.Pass).Should().BeEmpty();
        found.Should().HaveCount(quantities);
    }

    /// <summary>Whole bilevel steps, by both exact methods.</summary>
    [Theory]
    [InlineData("meta_step_loss_row.pt", MetaGradientMethod.Forward)]
    [InlineData("meta_step_conf_col.pt", MetaGradientMethod.Forward)]
    [InlineData("meta_step_both_mat.pt", MetaGradientMethod.Forward)]
    [InlineData("meta_step_nesterov.pt", MetaGradientMethod.Forward)]
    [InlineData("meta_step_loss_row.pt", MetaGradientMethod.Unrolled)]
    [InlineData("meta_step_conf_col.pt", MetaGradientMethod.Unrolled)]
    [InlineData("meta_step_both_mat.pt", MetaGradientMethod.Unrolled)]
    [InlineData("meta_step_nesterov.pt", MetaGradientMethod.Unrolled)]
    public void Every_quantity_of_a_step_is_the_published_one(string file, MetaGradientMethod gradient)
    {
        IReadOnlyList<VerifiedQuantity> found = Verify(file, gradient);

        found.Where(quantity => quantity.Verdict != Verdict.Pass).Should().BeEmpty();
        found.Should().HaveCount(40);
    }

    [Theory]
    [InlineData("meta_step_loss_row.pt")]
    [InlineData("meta_step_conf_col.pt")]
    [InlineData("meta_step_both_mat.pt")]
    [InlineData("meta_step_nesterov.pt")]
    public void The_yardstick_of_speed_makes_the_published_step(string file)
    {
        string path = GoldenFiles.Find(file);
        using GoldenFile golden = GoldenFile.Open(path, CPU);
        using MsdNet copy = GoldenNetworks.Msd(golden, CPU);

        VerifiedQuantity[] found = [.. MetaStepCase.Run(
            path,
            (options, network, optimiser) => new PublishedMetaGradient(
                network, copy, optimiser, TrainingLoss.Plain, MetaGradients.Objective(options, network.Exits)),
            CPU)];

        found.Where(quantity => quantity.Verdict != Verdict.Pass).Should().BeEmpty();
        found.Should().HaveCount(40);
    }

    [Fact]
    public void Costs_of_every_network_are_the_published_ones()
    {
        IReadOnlyList<VerifiedQuantity> found = Verify("flops.csv");

        found.Should().HaveCount(60).And.OnlyContain(quantity => quantity.Verdict == Verdict.Pass && quantity.Error == 0);
    }

    private IReadOnlyList<VerifiedQuantity> Verify(string file, MetaGradientMethod gradient = MetaGradientMethod.Forward)
    {
        string path = GoldenFiles.Find(file);
        IReadOnlyList<VerifiedQuantity> found = new Verifier(gradient, CPU).Run(path, Path.GetDirectoryName(path)!);
        VerifiedQuantity worst = found.MaxBy(quantity => quantity.Error)!;
        output.WriteLine(
            $"{file}, {gradient}: {found.Count} quantities, the largest relative error is {worst.Error:g3} ({worst.Quantity})");
        return found;
    }
}
