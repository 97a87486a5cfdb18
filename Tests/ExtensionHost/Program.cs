using ExtensionHost;
using Imta.MetaWeight.Experiments;

return ImtaProgram.Run(args, new ImtaExtensions
{
    Backbones = [ToyNet.Backbone],
    Weightings = [ExitScales.Method],
    Columns = [ToyColumn.MarginMean],
    ExitPolicies = { [AgreementPolicy.Name] = AgreementPolicy.Read },
});
