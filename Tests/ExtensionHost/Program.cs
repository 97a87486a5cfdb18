using ExtensionHost;
using Imta.MetaWeight.Experiments;

return ImtaProgram.Run(args, new Extensions
{
    Backbones = [ToyNet.Backbone],
    Columns = [ToyColumn.MarginMean],
    ExitPolicies = { [AgreementPolicy.Name] = AgreementPolicy.Read },
});
