namespace Imta.MetaWeight.Backbones.Kernels;
/// <summary>x</summary>
public static class NormReluKernels { 
#pragma warning disable CS1591
public static bool Supports(Tensor t)=>false; public static void Forward(params object?[] x){} public static void Again(params object?[] x){} public static void Backward(params object?[] x){} public static void Tangent(params object?[] x){} public static void AddRows(params object?[] x){} }
