// Compiled into each program that is built with the package Imta.MetaWeight: before its first line, TorchSharp is told where its
// native libraries are.
#pragma warning disable CA2255 // a library that is built with it may be the first to use TorchSharp
internal static class ImtaTorchStart
{
    [System.Runtime.CompilerServices.ModuleInitializer]
    internal static void Prepare() => Imta.MetaWeight.Backbones.Kernels.TorchLibraries.Prepare();
}
