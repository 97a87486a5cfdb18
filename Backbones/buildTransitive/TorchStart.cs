// Compiled into each program that is built with Imta.MetaWeight.Backbones: before its first line, TorchSharp is told where its native libraries are.
internal static class ImtaTorchStart
{
    [System.Runtime.CompilerServices.ModuleInitializer]
    internal static void Prepare() => Imta.MetaWeight.Backbones.Kernels.TorchLibraries.Prepare();
}
