using ExtensionHost;
using Imta.MetaWeight.Experiments;

return ImtaProgram.Run(args, new ImtaExtensions
{
    Backbones = [ToyNet.Backbone],
    Weightings = [ExitScales.Method, OwnSamples.Method],
    Combinations = [NormalisedSum.Method],
    Columns = [ToyColumn.MarginMean],
    ExitPolicies = { [AgreementPolicy.Name] = AgreementPolicy.Read },
});
